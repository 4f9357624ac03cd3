"""Rows for kernels that work along an axis: sums, softmax, normalisations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from needle import ops
from needle.sizes import Size

from ..errors import EmitError
from ..ir import Node
from ..program import View
from .lowering import Lowering, Value

QUOTIENT = ops.DivScalar(1).functor


def rows(kernel: str) -> Callable[[Lowering, Node], Value]:
    """A kernel that changes each row of the last axis, in place if nobody else reads it."""

    def row(low: Lowering, node: Node) -> Value:
        view = low.dense(node.inputs[0])
        out = low.new(node, reuse=[view])
        low.call(kernel, _matrix(view), reads=[view], writes=[out], note=repr(node))
        return out

    return row


def summation(low: Lowering, node: Node) -> Value:
    """The summed axes moved behind the others, then summed as one."""
    view, count = _to_the_end(low, node)
    out = low.new(node)
    low.call("reduce", (math.prod(out.shape), count), reads=[view], writes=[out], functor="SumFold", note=repr(node))
    return out


def extremum(functor: str) -> Callable[[Lowering, Node], Value]:
    """The largest or smallest over axes, as sums are computed."""

    def row(low: Lowering, node: Node) -> Value:
        view, count = _to_the_end(low, node)
        out = low.new(node)
        low.call("reduce", (math.prod(out.shape), count), reads=[view], writes=[out], functor=functor, note=repr(node))
        return out

    return row


def mean(low: Lowering, node: Node) -> Value:
    """The sum, then its quotient in place."""
    view, count = _to_the_end(low, node)
    out = low.new(node)
    size = math.prod(out.shape)
    low.call("reduce", (size, count), reads=[view], writes=[out], functor="SumFold", note=repr(node))
    low.call("map", [size], reads=[out], writes=[out], numbers=(float(count),), functor=QUOTIENT, note=repr(node))
    return out


def log_sum_exp(low: Lowering, node: Node) -> Value:
    """The axes moved behind the others, then one row for each result."""
    view, count = _to_the_end(low, node)
    out = low.new(node)
    low.call("logsumexp", (math.prod(out.shape), count), reads=[view], writes=[out], note=repr(node))
    return out


def _to_the_end(low: Lowering, node: Node) -> tuple[View, int]:
    """Dense memory in which the reduced axes are last, and how many elements they have together."""
    (x,) = node.inputs
    rank = len(x.shape)
    axes: Any = range(rank) if node.op.axes is None else node.op.axes
    axes = [a % rank for a in ([axes] if isinstance(axes, int) else axes)]
    order = [a for a in range(rank) if a not in axes] + axes
    count = math.prod([x.shape[a] for a in axes])
    if isinstance(count, Size):
        raise EmitError(f"[emit] {node!r}: a reduction over a named size cannot be compiled yet")
    view = low.view(x).permute(order)
    return low.in_order(view), count


def layer_norm(low: Lowering, node: Node) -> Value:
    """y, mean and rstd at once."""
    given = [low.dense(n) for n in node.inputs]
    results = tuple(low.temporary(t, "layer norm") for t in node.type)
    low.call("layer_norm", _matrix(given[0]), reads=given, writes=results, numbers=(node.op.eps,), note=repr(node))
    return results


def rms_norm(low: Lowering, node: Node) -> Value:
    """y and rstd at once."""
    given = [low.dense(n) for n in node.inputs]
    results = tuple(low.temporary(t, "rms norm") for t in node.type)
    low.call("rms_norm", _matrix(given[0]), reads=given, writes=results, numbers=(node.op.eps,), note=repr(node))
    return results


def group_norm(low: Lowering, node: Node) -> Value:
    """y, mean and rstd at once."""
    given = [low.dense(n) for n in node.inputs]
    results = tuple(low.temporary(t, "group norm") for t in node.type)
    images, *pixels, channels = given[0].shape
    sizes = (images, math.prod(pixels), channels, node.op.groups)
    low.call("group_norm", sizes, reads=given, writes=results, numbers=(node.op.eps,), note=repr(node))
    return results


def batch_norm(low: Lowering, node: Node) -> Value:
    """(x - mean) weight / sqrt(var + eps) + bias, per column."""
    x, *parameters = node.inputs
    view = low.dense(x)
    out = low.new(node, reuse=[view])
    given = [view, *map(low.dense, parameters)]
    low.call("batch_norm_inference", _matrix(view), reads=given, writes=[out], numbers=(node.op.eps,), note=repr(node))
    return out


def _matrix(view: View) -> tuple[int, int]:
    """(rows, columns)."""
    return math.prod(view.shape[:-1]), view.shape[-1]
