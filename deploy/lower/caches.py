"""Rows for ops of decoding with a cache: a state is written in place, and is read where it is."""

from __future__ import annotations

from needle.types import Type

from ..errors import EmitError
from ..ir import Node
from ..program import View
from .lowering import Lowering, Value


def positions(low: Lowering, node: Node) -> Value:
    """first, first + 1, ... for each row."""
    _check_places(node, 0)
    out = low.new(node)
    given = low.dense(node.inputs[0])
    low.call("positions", out.shape, reads=[given], writes=[out], note=repr(node))
    return out


def cache_write(low: Lowering, node: Node) -> Value:
    """Into the memory of a state, if nobody reads its old value later; else into a copy."""
    slots, context, heads, depth = node.shape
    cache, *given = (low.dense(x) for x in node.inputs)
    batch, steps = node.inputs[1].shape[:2]
    alone = all(x.buffer is not cache.buffer for x in given)
    out = cache.written() if alone and low.spare_state(cache) else low.new(node)
    sizes = (batch, steps, slots, context, heads * depth)
    _check_rows(low, node, 2, steps, slots, context)
    low.call("cache_write", sizes, reads=[cache, *given], writes=[out], note=repr(node))
    return out


def cached_attention(low: Lowering, node: Node) -> Value:
    """Queries with any strides but contiguous columns; the result lies as (B, T, H, D)."""
    q = low.view(node.inputs[0])
    q = q if q.strides[3] == 1 else low.in_order(q)
    given = [low.dense(x) for x in node.inputs[1:]]
    batch, heads, steps, depth = q.shape
    slots, context = given[0].shape[:2]
    y: View = low.temporary(Type((batch, steps, heads, depth)), "attention").permute((0, 2, 1, 3))
    sizes = (batch, heads, steps, depth, slots, context)
    _check_rows(low, node, 3, steps, slots, context)
    low.call("cached_attention", sizes, reads=[q, *given], writes=[y], numbers=(node.op.scale,), note=repr(node))
    return y


def _check_rows(low: Lowering, node: Node, first: int, steps: int, slots: int, context: int) -> None:
    """Note the limits of slots and positions, the inputs from `first` on. EmitError unless they are of one dtype."""
    low.limit(node.inputs[first], slots)
    low.limit(node.inputs[first + 1], context - steps + 1)
    _check_places(node, first, first + 1)


def _check_places(node: Node, *places: int) -> None:
    dtypes = {node.inputs[i].type.dtype for i in places}
    if len(dtypes) > 1 or not dtypes <= {"float32", "int32"}:
        given = ", ".join(sorted(dtypes))
        raise EmitError(f"[emit] {node!r}: slots and positions must have one dtype, int32 or float32, got {given}")
