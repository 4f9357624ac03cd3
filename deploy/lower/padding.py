"""The row of `Pad`: copies of the inside and of what is shown around it, one axis after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy

from needle.sizes import Size
from needle.types import Type

from ..dtypes import numpy_dtype
from ..errors import EmitError
from ..ir import Node, constant
from ..program import View, same
from .lowering import Lowering, Value


def pad(low: Lowering, node: Node) -> Value:
    """y = x with elements put around it, or cut off where a width is negative."""
    view = low.view(node.inputs[0])
    for axis, (before, after) in enumerate(node.op.widths):
        size = view.shape[axis]
        if before < 0 or after < 0:
            view = view.slice(axis, max(-before, 0), size - max(-before, 0) - max(-after, 0))
        if before > 0 or after > 0:
            view = _around(low, node, view, axis, max(before, 0), max(after, 0))
    return view


def _around(low: Lowering, node: Node, x: View, axis: int, before: int, after: int) -> View:
    size = x.shape[axis]
    shape = (*x.shape[:axis], before + size + after, *x.shape[axis + 1 :])
    out = low.temporary(Type(shape, x.dtype), "padded")
    low.copy(out.slice(axis, before, size), x)
    for start, width in ((0, before), (before + size, after)):
        for at, count, view in _shown(node, low, x, axis, start - before, width) if width else ():
            low.copy(out.slice(axis, before + at, count), view)
    return out


def _shown(
    node: Node, low: Lowering, x: View, axis: int, start: int, width: int
) -> Iterator[tuple[int, int, View]]:
    """(place, how many, what is there) of the places from `start` on, counted from the first element of x."""
    size, mode = x.shape[axis], node.op.mode
    if mode == "constant":
        number = constant(numpy.array([node.op.value], x.dtype))
        yield start, width, low.weight(number, number).broadcast(_sized(x, axis, width))
    elif mode == "edge":
        one = x.slice(axis, 0 if same(start, -width) else size - 1, 1)
        strides = (*x.strides[:axis], 0, *x.strides[axis + 1 :])
        yield start, width, replace(one, shape=_sized(x, axis, width), strides=strides)
    elif isinstance(size, Size):
        raise EmitError(f"[emit] {node!r}: mode '{mode}' needs a size that is known in axis {axis}")
    else:  # element by element: what is shown may be longer than x
        for at in range(start, start + width):
            period = size if mode == "wrap" else max(2 * size - 2, 1)
            place = at % period
            yield at, 1, x.slice(axis, place if place < size else period - place, 1)


def _sized(x: View, axis: int, size: int) -> tuple[int, ...]:
    return (*x.shape[:axis], size, *x.shape[axis + 1 :])


def unfold(low: Lowering, node: Node) -> Value:
    """A view of the padded tensor, in which windows overlap."""
    op, x = node.op, low.view(node.inputs[0])
    if any(a or b for a, b in op.padding):
        shape = list(x.shape)
        for k, (a, b) in enumerate(op.padding):
            shape[op.first + k] = a + shape[op.first + k] + b
        wide = low.temporary(Type(tuple(shape), x.dtype), "padded")
        number = constant(numpy.array(op.value).astype(numpy_dtype(x.dtype)))
        low.copy(wide, low.weight(number, number).broadcast(wide.shape))
        inside = wide
        for k, (a, _) in enumerate(op.padding):
            inside = inside.slice(op.first + k, a, x.shape[op.first + k])
        low.copy(inside, x)
        x = wide
    end = op.first + len(op.kernel)
    steps = x.strides[op.first : end]
    strides = (
        *x.strides[: op.first], *(n * s for n, s in zip(steps, op.stride, strict=True)),
        *x.strides[end:], *(n * d for n, d in zip(steps, op.dilation, strict=True)),
    )  # fmt: skip
    return replace(x, shape=node.shape, strides=strides)
