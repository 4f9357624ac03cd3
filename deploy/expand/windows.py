"""Pooling along any axes: windows as axes of their own (`Unfold`), then a reduction over them."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy

from needle import ops
from needle.sizes import Size

from ..fused_ops import Unfold
from ..ir import Node
from ..onnx.dtypes import limits
from ..onnx.ops import Col2Im, MaxPoolIndices, MaxUnpool, MeanPool, NormPool, ScatterElements
from .arithmetic import add, apply, broadcast, cast, const, count, known_sizes, mul, reshape, total


def unfolded(x: Node, w: Any, value: float) -> Node:
    """(N, C, *counts, *kernel): what each window sees of x (N, C, *S), `value` outside."""
    size = x.shape[2:]
    counts, padding = w.counts(size), []
    for n, c, k, s, (a, b), d in zip(size, counts, w.kernel, w.stride, w.padding, w.dilation, strict=True):
        hanging = 0 if isinstance(n, Size) or not w.ceil else (c - 1) * s + (k - 1) * d + 1 - n - a
        padding.append((a, max(b, hanging) if w.ceil else b))
    return apply(Unfold(2, w.kernel, w.stride, tuple(padding), w.dilation, tuple(counts), value), x)


def _last(x: Node) -> tuple[int, ...]:
    rank = (len(x.shape) - 2) // 2
    return tuple(range(2 + rank, 2 + 2 * rank))


def _mean(node: Node) -> Node:
    op, (x,) = node.op, node.inputs
    w = op.windows
    seen = unfolded(x, w, 0.0)
    if not any(map(any, w.padding)) and not w.ceil:
        return apply(ops.Mean(_last(seen)), seen)
    inside = op.inside(known_sizes(*x.shape[2:])).astype("float32")
    return mul(total(seen, *_last(seen)), const(1 / inside, x.type.dtype))


def _norm(node: Node) -> Node:
    op, (x,) = node.op, node.inputs
    powers = apply(ops.PowerScalar(float(op.p)), apply(ops.Abs(), x))
    seen = unfolded(powers, op.windows, 0.0)
    return apply(ops.PowerScalar(1 / op.p), total(seen, *_last(seen)))


def _max(node: Node) -> tuple[Node, Node]:
    """The largest of each window, and where it is: by the place in the window, from a table of all."""
    op, (x,) = node.op, node.inputs
    w, dtype = op.windows, x.type.dtype
    size = known_sizes(*x.shape[1:])
    whole = "float" not in dtype
    wide = cast(x, "int64") if whole else x
    seen = unfolded(wide, w, int(limits(dtype)[0]) - 1 if whole else -numpy.inf)
    taps = prod(w.kernel)
    seen = reshape(seen, (*seen.shape[: 2 + len(w.kernel)], taps))
    best = apply(ops.ArgMax(-1, True), seen)
    table = w.of(op.numbers(size[1:])[None, None], -1).reshape(1, 1, *w.counts(size[1:]), taps)
    found = apply(ops.Gather(-1), broadcast(const(table, "int64"), seen.shape), best)
    channels = numpy.arange(size[0]).reshape(-1, *(1,) * len(w.kernel)) * prod(size[1:])
    images = mul(count(x, 0, len(x.shape)), prod(size))
    y = cast(apply(ops.Max((len(seen.shape) - 1,)), seen), dtype)
    return y, add(add(reshape(found, y.shape), const(channels, "int64")), images)


def _unpool(node: Node) -> Node:
    op, (x, places) = node.op, node.inputs
    count, inner = prod(known_sizes(*x.shape)), prod(known_sizes(*op.inner))
    zeros = const(numpy.zeros(inner), x.type.dtype)
    y = apply(ScatterElements(0), zeros, reshape(places, (count,)), reshape(x, (count,)))
    around = tuple((0, n - m) for n, m in zip(op.shape, op.inner, strict=True))
    y = reshape(y, op.inner)
    return apply(ops.Pad(around), y) if any(b for _, b in around) else y


def _image(node: Node) -> Node:
    """Columns, added where their windows are."""
    op, (x,) = node.op, node.inputs
    w, images = op.windows, x.shape[0] * node.shape[1]
    known_sizes(images)
    wide = tuple(n + a + b for n, (a, b) in zip(op.image, w.padding, strict=True))
    axes, _ = type(w)(w.kernel, w.stride, ((0, 0),) * len(wide), w.dilation).places(wide)
    rank, number = len(wide), numpy.zeros((), dtype="int64")
    for i, (place, n) in enumerate(zip(axes, wide, strict=True)):
        shape = [1] * (2 * rank)
        shape[i], shape[rank + i] = place.shape[1], place.shape[0]
        number = number * n + place.T.reshape(shape)  # (*kernel, *counts), the order of the columns
    size, count = prod(wide), number.size
    places = (numpy.arange(images)[:, None] * size + number.reshape(-1)).reshape(-1)
    zeros = const(numpy.zeros(images * size), x.type.dtype)
    y = apply(ScatterElements(0, "add"), zeros, const(places, "int64"), reshape(x, (images * count,)))
    y = reshape(y, (*node.shape[:2], *wide))
    inside = [(a, a + n, 1) for n, (a, _) in zip(op.image, w.padding, strict=True)]
    return apply(ops.GetItem(((None, None, 1), (None, None, 1), *inside)), y)


TABLE: dict[type, Any] = {MeanPool: _mean, NormPool: _norm, MaxPoolIndices: _max, MaxUnpool: _unpool, Col2Im: _image}
