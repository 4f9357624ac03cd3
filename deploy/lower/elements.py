"""Rows for ops whose elements are of any type: casts, predicates, choices, and arithmetic.

Operands meet in the dtype of the result before they are computed with; float32 has kernels of its own (table.py).
Floats of 16 bits and fewer are computed in float32 and rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import reduce

import numpy

from needle.ops.ops_compare import Truth
from needle.sizes import Size
from needle.types import TYPES, Type, promote

from ..dtypes import numpy_dtype
from ..errors import EmitError
from ..ir import Node, constant
from ..program import View
from .lowering import Lowering, Value

Row = Callable[[Lowering, Node], Value]
EVERYWHERE = {  # functors that elements of any dtype have, beside predicates
    "Add", "Subtract", "Multiply", "Maximum", "Minimum", "Negate", "Absolute", "Sign", "Relu", "Remainder", "Modulo",
}  # fmt: skip
WHOLE = {"Quotient", "WholePower", "BitAnd", "BitOr", "BitXor", "BitNot", "ShiftLeft", "ShiftRight"}
REAL = {
    "Divide", "Floor", "Ceil", "Round", "Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh",
    "Atanh",
}  # fmt: skip
OF_DOUBLES = {
    "Power", "Exp", "Log", "Sqrt", "Erf", "Tanh", "Sigmoid", "Softplus", "Silu", "Gelu", "SquaredDifference",
}  # fmt: skip
WITH_A_NUMBER = {  # what computes them with the number as an operand
    "AddScalar": ("Add",), "SubtractScalar": ("Subtract",), "MulScalar": ("Multiply",), "DivideScalar": ("Divide",),
    "PowerScalar": ("Power",), "MaximumScalar": ("Maximum",), "Clip": ("Maximum", "Minimum"),
}  # fmt: skip
COMPUTED = {"integer": "int64", "bool": "int64", "float": "float32"}  # what dtypes are computed in, but for the widest


def computed(dtype: str) -> str:
    """The dtype in which elements are computed."""
    return dtype if dtype in ("uint64", "float64") else COMPUTED[TYPES[dtype].kind]


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
    return mapped(low, node, "Where", given)


def of_any_dtype(low: Lowering, node: Node) -> Value:
    """A pointwise op on elements that are not float32, or one that makes bool of any elements."""
    op, dtypes = node.op, {x.type.dtype for x in node.inputs}
    dtype = node.type.dtype
    if isinstance(op, Truth):
        dtype = dtypes.pop() if len(dtypes) == 1 else reduce(promote, dtypes)
    given = [as_dtype(low, low.view(x), dtype) for x in node.inputs]
    if isinstance(op, Truth) or has_functor(op.functor, dtype):
        return mapped(low, node, op.functor, given)
    if op.functor in WITH_A_NUMBER and (dtype == "float64" or TYPES[dtype].kind != "float"):
        return _with_numbers(low, node, given[0])
    if dtype != "float64" and TYPES[dtype].kind == "float":  # in float32, rounded once
        return as_dtype(low, _in_float32(low, node, given), dtype)
    raise EmitError(f"[emit] {node!r}: programs have no {op.name} of {dtype}: cast it to float32")


def has_functor(functor: str, dtype: str) -> bool:
    """Whether elements of this dtype have the functor as a kernel for any elements."""
    if TYPES[dtype].kind != "float":
        return functor in EVERYWHERE | WHOLE
    return functor in EVERYWHERE | REAL or (dtype == "float64" and functor in OF_DOUBLES)


def _with_numbers(low: Lowering, node: Node, view: View) -> View:
    """A functor of two operands for each number."""
    op, whole = node.op, TYPES[node.type.dtype].kind != "float"
    for functor, number in zip(WITH_A_NUMBER[op.functor], op.numbers, strict=True):
        if math.isfinite(number) or op.functor != "Clip":  # a bound that does not bind is infinite
            functor = "WholePower" if whole and functor == "Power" else functor
            if not has_functor(functor, node.type.dtype):
                raise EmitError(f"[emit] {node!r}: programs have no {op.name} of {node.type.dtype}: cast it to float32")
            view = mapped(low, node, functor, [view, number_of(low, number, node.type.dtype)])
    return view


def _in_float32(low: Lowering, node: Node, given: Sequence[View]) -> View:
    """The op on float32, into memory of its own."""
    out = low.temporary(Type(node.shape, "float32"), repr(node))
    views = [as_dtype(low, x, "float32").broadcast(out.shape) for x in given]
    low.call("map_strided", reads=views, writes=[out], numbers=node.op.numbers, functor=node.op.functor)
    return out


def elementwise(functor: str) -> Row:
    """A functor of operands in the dtype of the result; integers are floats already."""

    def row(low: Lowering, node: Node) -> Value:
        dtype = node.type.dtype
        given = [as_dtype(low, low.view(x), dtype) for x in node.inputs]
        if TYPES[dtype].kind != "float" and functor in ("Floor", "Ceil", "Round"):
            return given[0]
        return mapped(low, node, functor, given)

    return row


def bits(functors: Mapping[str, str]) -> Row:
    """The functor that an attribute of the op chooses."""
    return lambda low, node: elementwise(functors[str(getattr(node.op, "kind", None) or node.op.left)])(low, node)


def modulo(low: Lowering, node: Node) -> Value:
    """A remainder with the sign of b or, with `c`, of a."""
    return elementwise("Remainder" if node.op.c else "Modulo")(low, node)


def power_of(low: Lowering, node: Node) -> Value:
    """a^b in the dtype of a: of whole numbers exactly, else through float64."""
    a, b = (low.view(x) for x in node.inputs)
    kinds = [TYPES[x.dtype].kind for x in (a, b)]
    if "float" not in kinds:
        return mapped(low, node, "WholePower", [a, as_dtype(low, b, a.dtype)])
    wide = [as_dtype(low, x, "float64").broadcast(node.shape) for x in (a, b)]
    out = low.temporary(Type(node.shape, "float64"), repr(node))
    low.call("map_elements", reads=wide, writes=[out], functor="Power")
    return as_dtype(low, out, node.type.dtype)


def is_inf(low: Lowering, node: Node) -> Value:
    """Equal to one of the infinities that count."""
    view = low.view(node.inputs[0])
    signs = [s * math.inf for s, counts in ((1, node.op.positive), (-1, node.op.negative)) if counts]
    if TYPES[view.dtype].kind != "float" or not signs:
        return number_of(low, 0, "bool").broadcast(node.shape)
    found = [low.temporary(Type(node.shape, "bool"), "is infinite") for _ in signs]
    for infinity, out in zip(signs, found, strict=True):
        reads = [view, number_of(low, infinity, view.dtype).broadcast(view.shape)]
        low.call("map_elements", reads=reads, writes=[out], functor="Equal")
    return found[0] if len(found) == 1 else mapped(low, node, "LogicalOr", found)


def cast_to(low: Lowering, node: Node) -> Value:
    """Another dtype; small floats may keep to their largest number."""
    view, dtype = low.view(node.inputs[0]), node.type.dtype
    if TYPES[dtype].kind != "float" or TYPES[dtype].bytes > 1:
        return as_dtype(low, view, dtype)
    if node.op.saturate or dtype == "float4_e2m1fn":
        if view.dtype not in ("float16", "bfloat16", "float32", "float64"):
            view = as_dtype(low, view, "float32")
        for functor, sign in (("Maximum", -1), ("Minimum", 1)):
            bounded = low.temporary(view.type, "within what it holds")
            bound = number_of(low, sign * LARGEST[dtype], view.dtype).broadcast(view.shape)
            low.call("map_elements", reads=[view, bound], writes=[bounded], functor=functor)
            view = bounded
    return as_dtype(low, view, dtype)


LARGEST = {
    "float8_e4m3fn": 448.0, "float8_e4m3fnuz": 240.0, "float8_e5m2": 57344.0, "float8_e5m2fnuz": 57344.0,
    "float4_e2m1fn": 6.0,
}  # fmt: skip


def bit_cast(low: Lowering, node: Node) -> Value:
    """The bytes, read as another dtype."""
    view = low.dense(node.inputs[0])
    out = low.new(node)
    size = TYPES[view.dtype].bytes * math.prod(view.shape)
    low.call("copy_bits", (size,), reads=[view], writes=[out], note=repr(node))
    return out


def mapped(low: Lowering, node: Node, functor: str, given: Sequence[View]) -> View:
    """The value of a node: a functor of views that broadcast."""
    out = low.new(node)
    reads = [x.broadcast(out.shape) for x in given]
    low.call("map_elements", reads=reads, writes=[out], functor=functor, note=repr(node))
    return out


def of_views(low: Lowering, functor: str, *given: View, dtype: str = "") -> View:
    """A functor of views, in memory of its own with the shape of the first."""
    out = low.temporary(Type(given[0].shape, dtype or given[-1].dtype), functor)
    low.call("map_elements", reads=[x.broadcast(out.shape) for x in given], writes=[out], functor=functor)
    return out


def number_of(low: Lowering, number: float, dtype: str) -> View:
    """One number, stored in its dtype."""
    node = constant(numpy.array(number).astype(numpy_dtype(dtype)))
    return low.weight(node, node)


def subtract(low: Lowering, node: Node) -> Value:
    """a - b of whole numbers, which wraps around."""
    return mapped(low, node, "Subtract", [as_dtype(low, low.view(x), node.type.dtype) for x in node.inputs])


def triangle(low: Lowering, node: Node) -> Value:
    """x where a mask that is known holds, else 0."""
    view, (rows, columns) = low.view(node.inputs[0]), node.shape[-2:]
    if isinstance(rows, Size) or isinstance(columns, Size):
        raise EmitError(f"[emit] {node!r}: a triangle needs sizes that are known in the last two axes")
    corner = numpy.tri(rows, columns, node.op.k - 1 if node.op.upper else node.op.k, dtype=bool)
    mask = constant(~corner if node.op.upper else corner)
    return mapped(low, node, "Where", [low.weight(mask, mask), view, number_of(low, 0, view.dtype)])


def is_nan(low: Lowering, node: Node) -> Value:
    """What is not equal to itself."""
    view = low.view(node.inputs[0])
    return mapped(low, node, "NotEqual", [view, view])


def add_scalars(low: Lowering, node: Node) -> Value:
    """Two sums of one tensor."""
    view = low.dense(node.inputs[0])
    results = tuple(low.temporary(t, "a sum") for t in node.type)
    for number, out in zip((node.op.c0, node.op.c1), results, strict=True):
        low.call("map", [math.prod(out.shape)], reads=[view], writes=[out], numbers=(number,), functor="AddScalar")
    return results
