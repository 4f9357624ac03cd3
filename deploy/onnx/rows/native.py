"""Ops of needle that no operator of the default opset is: written as several, in the order of their mathematics."""

from __future__ import annotations

from typing import Any

from needle import ops
from needle.ops.pointwise import PointwiseGradient

from ...fused_ops import NormedBias, NormedWeight, Unfold
from ...ir import Node
from ...packed_weights import Pack
from ..make import Unsupported
from ..ops import Divide, Modulo, Sizes, Subtract
from ..row import Refused

TRAINING = Refused("it belongs to training; freeze the model in eval mode")
COMPILED = Refused("it is made by the compiler's passes; export the graph as it was frozen")
FAR = -1e30  # exp of it is 0


def _softmax_over(w: Any, scores: str, values: str) -> Any:
    return w.add("MatMul", (w.add("Softmax", (scores,), axis=-1), values))


def _attention(w: Any, node: Node, q: str, k: str, v: str) -> Any:
    """softmax(scale q k^T + mask) v"""
    op, queries, keys = node.op, node.inputs[0].shape[2], node.inputs[1].shape[2]
    scores = w.add("Mul", (w.add("MatMul", (q, w.transpose(k, (0, 1, 3, 2)))), w.number(op.scale)))
    if op.causal:  # query i sees key j <= i + keys - queries
        last = w.add("Unsqueeze", (w.count_from(keys - queries, queries), w.ints([1])))
        seen = w.add("LessOrEqual", (w.add("Unsqueeze", (w.count_from(0, keys), w.ints([0]))), last))
        scores = w.add("Where", (seen, scores, w.number(FAR)))
    total = w.add("ReduceLogSumExp", (scores,), axes=[3], keepdims=0) if w.opset < 18 else None
    return _softmax_over(w, scores, v), total


def _positions(w: Any, node: Node, first: str, x: str) -> Any:
    """first[b] + t"""
    steps = w.cast(w.count_from(0, node.shape[1]), node.type.dtype)
    return w.add("Add", (w.add("Unsqueeze", (first, w.ints([1]))), w.add("Unsqueeze", (steps, w.ints([0])))))


def _places(w: Any, node: Node, slot: str, position: str, batch: int, steps: int) -> tuple[str, str]:
    """(slot[b], position[b] + t) as (B, T) each, int64."""
    rows = w.add("Unsqueeze", (w.cast(slot, "int64"), w.ints([1])))
    first = w.add("Unsqueeze", (w.cast(position, "int64"), w.ints([1])))
    at = w.add("Add", (first, w.add("Unsqueeze", (w.count_from(0, steps), w.ints([0])))))
    return w.add("Expand", (rows, w.shape((batch, steps)))), at


def _cache_write(w: Any, node: Node, cache: str, new: str, slot: str, position: str) -> Any:
    batch, steps = node.inputs[1].shape[:2]
    rows, at = _places(w, node, slot, position, batch, steps)
    indices = w.add("Concat", [w.add("Unsqueeze", (v, w.ints([2]))) for v in (rows, at)], axis=2)
    return w.add("ScatterND", (cache, indices, new))


def _cached_attention(w: Any, node: Node, q: str, keys: str, values: str, slot: str, position: str) -> Any:
    steps, context = node.inputs[0].shape[2], node.inputs[1].shape[1]
    ids = w.cast(slot, "int64")
    k, v = (w.add("Gather", (x, ids), axis=0) for x in (keys, values))  # (B, context, H, D)
    scores = w.add("MatMul", (q, w.transpose(k, (0, 2, 3, 1))))
    scores = w.add("Mul", (scores, w.number(node.op.scale)))
    first = w.add("Unsqueeze", (w.cast(position, "int64"), w.ints([1])))
    last = w.add("Add", (first, w.add("Unsqueeze", (w.count_from(0, steps), w.ints([0])))))
    last = w.add("Unsqueeze", (last, w.ints([1, 3])))  # (B, 1, T, 1)
    seen = w.add("LessOrEqual", (w.count_from(0, context), last))
    return _softmax_over(w, w.add("Where", (seen, scores, w.number(FAR))), w.transpose(v, (0, 2, 1, 3)))


def _iota(w: Any, node: Node, x: str) -> Any:
    return w.cast(w.count_from(node.op.first, node.shape[0]), node.type.dtype)


def _add_scalars(w: Any, node: Node, x: str) -> tuple[str, ...]:
    dtype = node.inputs[0].type.dtype
    return tuple(w.add("Add", (x, w.number(c, dtype))) for c in (node.op.c0, node.op.c1))


def _same(operator: str) -> Any:
    return lambda w, node, *inputs: w.add(operator, inputs)


def _modulo(w: Any, node: Node, a: str, b: str) -> Any:
    return w.add("Mod", (a, b), fmod=int(node.op.c))


def _sizes(w: Any, node: Node) -> Any:
    name = w.shape(node.op.values)
    return w.cast(w.add("Reshape", (name, w.ints(list(node.op.shape)))), node.type.dtype)


def _no_window(w: Any, node: Node, *inputs: str) -> Any:
    raise Unsupported("ONNX has no operator for windows of any shape")


WRITE: dict[type, Any] = {
    ops.Attention: _attention,
    ops.Positions: _positions,
    ops.CacheWrite: _cache_write,
    ops.CachedAttention: _cached_attention,
    ops.Iota: _iota,
    ops.Random: Refused("each runtime draws random numbers in its own way: these could not be asked of them"),
    ops.FusedAddScalars: _add_scalars,
    Sizes: _sizes,
    Subtract: _same("Sub"),
    Divide: _same("Div"),
    Modulo: _modulo,
    **dict.fromkeys((ops.Resample, ops.MaxPoolPick, ops.MaxPoolGradient, PointwiseGradient), TRAINING),
    **dict.fromkeys((NormedWeight, NormedBias, Pack, Unfold), COMPILED),
    **dict.fromkeys((ops.CrossEntropy, ops.Huber, ops.BatchNorm, ops.SquaredDifferenceGradient), TRAINING),
}
