"""Rows for ops on sequences: positions, embedding, attention, recurrent networks."""

from __future__ import annotations

import math

from needle.types import Type

from ..ir import Node
from ..kernels import IDS
from .elements import as_dtype
from .lowering import Lowering, Value


def iota(low: Lowering, node: Node) -> Value:
    """first, first + 1, ..."""
    counted = node.type.dtype in ("float32", "int32")
    out = low.new(node) if counted else low.temporary(Type(node.shape, "int32"), "a count")
    low.call("iota", (out.shape[0], node.op.first), reads=[], writes=[out], note=repr(node))
    return as_dtype(low, out, node.type.dtype)


def random(low: Lowering, node: Node) -> Value:
    """Numbers of a key and a counter."""
    counter = low.in_order(as_dtype(low, low.view(node.inputs[0]), "int64"))
    out = low.new(node)
    sizes = (math.prod(out.shape), node.op.key)
    low.call("random", sizes, reads=[counter], writes=[out], note=repr(node))
    return out


def embed(low: Lowering, node: Node) -> Value:
    """Rows of the table. Ids that are an input of the graph are checked by who runs it; else NaN for those outside."""
    ids, weight = low.view(node.inputs[0]), low.dense(node.inputs[1])
    ids = low.in_order(ids if ids.dtype in IDS else as_dtype(low, ids, "int32"))
    out = low.new(node)
    rows, columns = weight.shape
    low.limit(node.inputs[0], rows)
    sizes = (math.prod(ids.shape), columns, rows)
    low.call("lookup", sizes, reads=[ids, weight], writes=[out], note=repr(node))
    return out


def lstm(low: Lowering, node: Node) -> Value:
    """All steps at once; the last cell is a view of all cells."""
    given = [low.dense(x) for x in node.inputs]
    y, _, cells, act = (low.temporary(t, "lstm") if i != 1 else None for i, t in enumerate(node.type))
    assert y and cells and act
    steps, batch, hidden = y.shape
    low.call("lstm", (steps, batch, hidden), reads=given, writes=[y, cells, act], note=repr(node))
    return y, cells.take(0, steps - 1), cells, act


def gru(low: Lowering, node: Node) -> Value:
    """All steps at once."""
    given = [low.dense(x) for x in node.inputs]
    results = tuple(low.temporary(t, "gru") for t in node.type)
    low.call("gru", results[0].shape, reads=given, writes=results, note=repr(node))
    return results


def rnn(low: Lowering, node: Node) -> Value:
    """All steps at once."""
    given = [low.dense(x) for x in node.inputs]
    out = low.new(node)
    relu = int(node.op.nonlinearity == "relu")
    low.call("rnn", (*out.shape, relu), reads=given, writes=[out], note=repr(node))
    return out


def attention(low: Lowering, node: Node) -> Value:
    """Queries, keys and values with any strides but contiguous columns; the result lies as (B, T, H, D)."""
    q, k, v = (x if x.strides[3] == 1 else low.in_order(x) for x in map(low.view, node.inputs))
    batch, heads, queries, depth = q.shape
    y = low.temporary(Type((batch, queries, heads, depth)), "attention").permute((0, 2, 1, 3))
    lse = low.temporary(node.type[1], "log sums")
    sizes = (batch, heads, queries, k.shape[2], depth, int(node.op.causal))
    low.call("attention", sizes, reads=[q, k, v], writes=[y, lse], numbers=(node.op.scale,), note=repr(node))
    return y, lse

