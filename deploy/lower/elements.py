"""Rows for ops whose elements are of any type: casts, predicates, choices, and arithmetic of integers.

Integers meet in the dtype of the result before they are computed with; float32 has kernels of its own (table.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce

import numpy

from needle.ops.ops_compare import Truth
from needle.ops.ops_flip import dilated_axes
from needle.sizes import Size
from needle.types import Type, promote

from ..errors import EmitError
from ..ir import Node, constant
from ..program import View
from .lowering import Lowering, Value

OF_WHOLE_NUMBERS = (  # what has a meaning in integers, beside predicates
    "Add", "Subtract", "Multiply", "Maximum", "Minimum", "Negate", "Absolute", "Sign", "Relu",
)  # fmt: skip
WITH_A_NUMBER = {"AddScalar": ("Add",), "MulScalar": ("Multiply",), "Clip": ("Maximum", "Minimum")}


def cast(low: Lowering, node: Node) -> Value:
    """Each element as one of another dtype."""
    return as_dtype(low, low.view(node.inputs[0]), node.type.dtype)


def as_dtype(low: Lowering, view: View, dtype: str) -> View:
    """The same elements in a dtype: what has another one is cast."""
    if view.dtype == dtype:
        return view
    out = low.temporary(Type(view.shape, dtype), f"as {dtype}")
    low.call("map_elements", reads=[view], writes=[out], functor="Copy")
    return out


def where(low: Lowering, node: Node) -> Value:
    """y = a where the mask is true, else b."""
    dtypes = ("bool", node.type.dtype, node.type.dtype)
    given = [as_dtype(low, low.view(x), dtype) for x, dtype in zip(node.inputs, dtypes, strict=True)]
    return _mapped(low, node, "Where", given)


def whole_numbers(low: Lowering, node: Node) -> Value:
    """A pointwise op on integers or bool, or one that makes bool of any elements."""
    op = node.op
    dtype = reduce(promote, (x.type.dtype for x in node.inputs)) if isinstance(op, Truth) else node.type.dtype
    given = [as_dtype(low, low.view(x), dtype) for x in node.inputs]
    if isinstance(op, Truth) or op.functor in OF_WHOLE_NUMBERS:
        return _mapped(low, node, op.functor, given)
    if op.functor not in WITH_A_NUMBER:
        raise EmitError(f"[emit] {node!r}: programs have no {op.name} of {dtype}: cast it to float32")
    (view,) = given
    for functor, number in zip(WITH_A_NUMBER[op.functor], op.numbers, strict=True):
        if math.isfinite(number):  # a bound that does not bind is infinite
            view = _mapped(low, node, functor, [view, _number(low, number, dtype)])
    return view


def _mapped(low: Lowering, node: Node, functor: str, given: Sequence[View]) -> View:
    out = low.new(node)
    reads = [x.broadcast(out.shape) for x in given]
    low.call("map_elements", reads=reads, writes=[out], functor=functor, note=repr(node))
    return out


def _number(low: Lowering, number: float, dtype: str) -> View:
    """One number, stored in its dtype."""
    node = constant(numpy.array([number], dtype))
    return low.weight(node, node)


def subtract(low: Lowering, node: Node) -> Value:
    """a - b of whole numbers, which wraps around."""
    return _mapped(low, node, "Subtract", [as_dtype(low, low.view(x), node.type.dtype) for x in node.inputs])


def triangle(low: Lowering, node: Node) -> Value:
    """x where a mask that is known holds, else 0."""
    view, (rows, columns) = low.view(node.inputs[0]), node.shape[-2:]
    if isinstance(rows, Size) or isinstance(columns, Size):
        raise EmitError(f"[emit] {node!r}: a triangle needs sizes that are known in the last two axes")
    corner = numpy.tri(rows, columns, node.op.k - 1 if node.op.upper else node.op.k, dtype=bool)
    mask = constant(~corner if node.op.upper else corner)
    return _mapped(low, node, "Where", [low.weight(mask, mask), view, _number(low, 0, view.dtype)])


def is_nan(low: Lowering, node: Node) -> Value:
    """What is not equal to itself."""
    view = low.view(node.inputs[0])
    return _mapped(low, node, "NotEqual", [view, view])


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
    low.copy(out, _number(low, 0, out.dtype).broadcast(out.shape))
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


def add_scalars(low: Lowering, node: Node) -> Value:
    """Two sums of one tensor."""
    view = low.dense(node.inputs[0])
    results = tuple(low.temporary(t, "a sum") for t in node.type)
    for number, out in zip((node.op.c0, node.op.c1), results, strict=True):
        low.call("map", [math.prod(out.shape)], reads=[view], writes=[out], numbers=(number,), functor="AddScalar")
    return results
