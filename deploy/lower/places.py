"""Rows for elements by their place: one after the other, chosen by number, in order, summed as they come, scattered."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy

from needle.backend_ndarray.bands import Bands
from needle.ops.ops_flip import dilated_axes
from needle.sizes import Size
from needle.types import Type

from ..errors import EmitError
from ..ir import Node, constant
from ..program import View
from .elements import as_dtype, computed, number_of, of_views
from .lowering import Lowering, Value

Row = Callable[[Lowering, Node], Value]
EXTREMES = {"max": "Maximum", "min": "Minimum", "add": "Add", "mul": "Multiply", "none": "Second"}


def concat(low: Lowering, node: Node) -> Value:
    """A copy of each part into its slice."""
    out, axis, start = low.new(node), node.op.axis % len(node.shape), 0
    for part in low.parts(node.inputs[0]):
        size = part.shape[axis]
        low.copy(out.slice(axis, start, size), part)
        start += size
    return out


def take(low: Lowering, node: Node) -> Value:
    """Slices by number; those outside are NaN, or 0 of integers."""
    axis = node.op.axis % len(node.inputs[0].shape)
    x, ids = _chosen(low, node, axis)
    sizes = (math.prod(x.shape[:axis]), x.shape[axis], math.prod(ids.shape), math.prod(x.shape[axis + 1 :]))
    out = low.new(node)
    low.call("take_elements", sizes, reads=[x, ids], writes=[out], note=repr(node))
    return out


def gather(low: Lowering, node: Node) -> Value:
    """Elements by number; those outside are NaN, or 0 of integers."""
    axis = node.op.axis % len(node.shape)
    x, index = _chosen(low, node, axis)
    sizes = (math.prod(x.shape[:axis]), x.shape[axis], index.shape[axis], math.prod(x.shape[axis + 1 :]))
    out = low.new(node)
    low.call("gather_elements", sizes, reads=[x, index], writes=[out], note=repr(node))
    return out


def _chosen(low: Lowering, node: Node, axis: int) -> tuple[View, View]:
    """What is chosen from, and by which numbers, in order and of int64."""
    x, ids = node.inputs
    return low.dense(x), low.in_order(as_dtype(low, low.view(ids), "int64"))


def dilate(low: Lowering, node: Node) -> Value:
    """Zeros, then the elements at their places."""
    out, view = low.new(node), low.view(node.inputs[0])
    low.copy(out, number_of(low, 0, out.dtype).broadcast(out.shape))
    places = out
    for axis in _axes(node):
        places = places.every(axis, node.op.dilation + 1, view.shape[axis])
    low.copy(places, view)
    return out


def undilate(low: Lowering, node: Node) -> Value:
    """A view of every so many elements."""
    view = low.view(node.inputs[0])
    for axis in _axes(node):
        view = view.every(axis, node.op.dilation + 1, node.shape[axis])
    return view


def _axes(node: Node) -> tuple[int, ...]:
    return dilated_axes("emit", node.op, len(node.shape))


def place(functor: str) -> Row:
    """Where along an axis the best element is: of equal ones the first or, with `last`, the last."""

    def row(low: Lowering, node: Node) -> Value:
        op, view = node.op, low.view(node.inputs[0])
        axis = op.axis % len(view.shape)
        n = view.shape[axis]
        rows, order = _to_the_end(low, view.flip(axis) if op.last else view, axis)
        found = low.temporary(Type((*rows.shape[:-1], 1), "int64"), "places")
        sizes = (math.prod(rows.shape[:-1]), n, 1, 1)
        low.call("order_elements", sizes, reads=[rows], writes=[found], functor=functor, note=repr(node))
        if op.last:
            if isinstance(n, Size):
                raise EmitError(f"[emit] {node!r}: the last of equal elements needs a size that is known")
            found = of_views(low, "Subtract", number_of(low, n - 1, "int64").broadcast(found.shape), found)
        found = found.permute(order)
        return found if op.keepdims else found.take(axis, 0)

    return row


def top_k(low: Lowering, node: Node) -> Value:
    """The best elements along an axis, in order, and their places."""
    op, view = node.op, low.view(node.inputs[0])
    axis = op.axis % len(view.shape)
    rows, order = _to_the_end(low, view, axis)
    lead = rows.shape[:-1]
    at = low.temporary(Type((*lead, op.k), "int64"), "places")
    sizes = (math.prod(lead), rows.shape[-1], op.k, int(op.largest))
    functor = "Greater" if op.largest else "Less"
    low.call("order_elements", sizes, reads=[rows], writes=[at], functor=functor, note=repr(node))
    best = low.temporary(Type((*lead, op.k), rows.dtype), "the best")
    low.call("gather_elements", (*sizes[:3], 1), reads=[rows, at], writes=[best])
    return as_dtype(low, best, view.dtype).permute(order), at.permute(order)


def running(functor: str, first: float) -> Row:
    """Running folds along an axis; with `exclusive` of what is before, with `reverse` from the end."""

    def row(low: Lowering, node: Node) -> Value:
        op, view = node.op, low.view(node.inputs[0])
        axis = op.axis % len(view.shape)
        turned = view.flip(axis) if op.reverse else view
        rows, order = _to_the_end(low, turned, axis)
        n = rows.shape[-1]
        y = low.temporary(rows.type, "running")
        low.call("scan_elements", (math.prod(rows.shape[:-1]), n), reads=[rows], writes=[y], functor=functor)
        if op.exclusive:
            moved, last = low.temporary(rows.type, "of what is before"), len(rows.shape) - 1
            low.copy(moved.slice(last, 0, 1), number_of(low, first, y.dtype).broadcast((*rows.shape[:-1], 1)))
            if n != 1:
                low.copy(moved.slice(last, 1, n - 1), y.slice(last, 0, n - 1))
            y = moved
        y = as_dtype(low, y, node.type.dtype).permute(order)
        return y.flip(axis) if op.reverse else y

    return row


def _to_the_end(low: Lowering, view: View, axis: int) -> tuple[View, list[int]]:
    """Rows along an axis, in the dtype they are computed in; and the permutation that moves the axis back."""
    rank = len(view.shape)
    order = [k for k in range(rank) if k != axis] + [axis]
    rows = low.in_order(as_dtype(low, view, computed(view.dtype)).permute(order))
    return rows, [order.index(k) for k in range(rank)]


def scatter_nd(low: Lowering, node: Node) -> Value:
    """Slices put where rows of indices say."""
    x, indices, updates = node.inputs
    depth = indices.shape[-1]
    at = as_dtype(low, low.view(indices), "int64")
    flat, step = None, 1
    for k in reversed(range(depth)):
        n = x.shape[k]
        part = _wrapped(low, at.take(len(at.shape) - 1, k), _known(node, n))
        part = of_views(low, "Multiply", part, number_of(low, step, "int64")) if step != 1 else part
        flat, step = part if flat is None else of_views(low, "Add", flat, part), step * _known(node, n)
    if flat is None:
        raise EmitError(f"[emit] {node!r}: indices name no axis")
    sizes = (step, math.prod(flat.shape), math.prod(x.shape[depth:]))
    return _scattered(low, node, sizes, low.view(updates), flat)


def scatter_elements(low: Lowering, node: Node) -> Value:
    """Single elements put where indices along an axis say."""
    x, indices, updates = node.inputs
    axis = node.op.axis % len(x.shape)
    shape, size = [_known(node, n) for n in indices.shape], [_known(node, n) for n in x.shape]
    places = numpy.indices(shape)
    places[axis] = 0
    steps = [math.prod(size[k + 1 :]) for k in range(len(size))]
    base = constant(sum(p * s for p, s in zip(places, steps, strict=True)).astype("int64"))
    at = _wrapped(low, as_dtype(low, low.view(indices), "int64"), size[axis])
    flat = of_views(low, "Multiply", at, number_of(low, steps[axis], "int64"))
    flat = of_views(low, "Add", flat, low.weight(base, base))
    return _scattered(low, node, (math.prod(size), math.prod(shape), 1), low.view(updates), flat)


def _scattered(low: Lowering, node: Node, sizes: tuple[int, ...], updates: View, flat: View) -> View:
    out = low.new(node)
    low.copy(out, low.view(node.inputs[0]))
    reads = [low.in_order(as_dtype(low, updates, out.dtype)), low.in_order(flat)]
    low.call("scatter_elements", sizes, reads=reads, writes=[out], functor=EXTREMES[node.op.reduction], note=repr(node))
    return out


def _wrapped(low: Lowering, at: View, n: int) -> View:
    """Places, those below zero counted from the end."""
    zero, size = (number_of(low, k, "int64") for k in (0, n))
    below = of_views(low, "Less", at, zero, dtype="bool")
    return of_views(low, "Where", below, of_views(low, "Add", at, size), at)


def _known(node: Node, n: int) -> int:
    if isinstance(n, Size):
        raise EmitError(f"[emit] {node!r}: needs sizes that are known, not {n}")
    return n


def resize(low: Lowering, node: Node) -> Value:
    """Axis by axis: elements by number, or sums with the weights of a banded matrix."""
    op, view = node.op, low.view(node.inputs[0])
    dtype = view.dtype
    for k, axis in enumerate(op.axes):
        n, count = _known(node, view.shape[axis]), _known(node, op.size[k])
        scale = op.scales[k] if op.scales else count / n
        if n == count and scale == 1 and not op.roi:
            continue
        places = op.places_of(k, n, count, scale)
        if op.mode == "nearest":
            view = _elements(low, view, axis, op.taken(places, n))
        else:
            view = _resampled(low, as_dtype(low, view, "float32"), axis, op.weights_of(places, n, scale))
        if op.coordinates == "tf_crop_and_resize":
            beyond = constant(((places < 0) | (places > n - 1)).reshape([-1] + [1] * (len(view.shape) - axis - 1)))
            mask, value = low.weight(beyond, beyond), number_of(low, op.extrapolation, view.dtype)
            view = of_views(low, "Where", mask.broadcast(view.shape), value, view)
    if dtype != view.dtype and dtype != "float32":
        view = of_views(low, "Round", view)
    return as_dtype(low, view, dtype)


def _elements(low: Lowering, view: View, axis: int, ids: Any) -> View:
    node = constant(ids.astype("int64"))
    shape = (*view.shape[:axis], len(ids), *view.shape[axis + 1 :])
    out = low.temporary(Type(shape, view.dtype), "nearest")
    sizes = (math.prod(shape[:axis]), view.shape[axis], len(ids), math.prod(shape[axis + 1 :]))
    low.call("take_elements", sizes, reads=[low.in_order(view), low.weight(node, node)], writes=[out])
    return out


def _resampled(low: Lowering, view: View, axis: int, matrix: Any) -> View:
    """The axis as the rows of images of one column, whose channels are what is behind it."""
    x, shape = low.in_order(view), (*view.shape[:axis], len(matrix), *view.shape[axis + 1 :])
    images, channels = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    if isinstance(channels, Size):
        raise EmitError(f"[emit] resize: sizes behind axis {axis} must be known")
    out = low.temporary(Type(shape), "resized")
    windows = (banded(matrix), Bands(1, (0,), ((1.0,),)))
    given = x.reshape((images, view.shape[axis], 1, channels))
    low.call("resample", (images, channels), reads=[given], writes=[out.reshape((images, len(matrix), 1, channels))],
             windows=windows, note="resized")  # fmt: skip
    return out


def banded(matrix: Any) -> Bands:
    """A matrix as the weights of each row from its first to its last that is not 0."""
    first, weights = [], []
    for row in matrix:
        used = numpy.flatnonzero(row)
        low, high = (int(used[0]), int(used[-1])) if used.size else (0, 0)
        first.append(low)
        weights.append(tuple(float(w) for w in row[low : high + 1]))
    return Bands(matrix.shape[1], tuple(first), tuple(weights))
