"""Nodes as rows of the table make them: of an op and inputs, or at once a constant where all inputs are constants."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy

from needle import ops
from needle.sizes import Size
from needle.types import Type

from ..errors import DeployError
from ..interpreter import values_of
from ..ir import Constant, Node, constant, parts
from ..ir import apply as node_of
from .dtypes import HALVES, is_float, numpy_dtype
from .ops import Sizes

MAX_FOLDED = 1 << 24  # elements of a constant that is computed while reading: a larger one is computed by who runs it
MAX_BYTES = 1 << 29  # of all such constants of a model, of which a few bytes may ask for many

_left: ContextVar[list[int] | None] = ContextVar("left", default=None)  # of MAX_BYTES, while a model is read


class Unsupported(DeployError):
    """Why an operator cannot be read here, or a node written."""


def apply(op: Any, *inputs: Node) -> Node:
    """The node of `op`; a constant, computed now, if all inputs are constants and it is not large."""
    node = node_of(op, *inputs)
    if inputs and all(known(x) for x in inputs) and isinstance(node.type, Type) and affords(node.type):
        with numpy.errstate(all="ignore"):
            (array,) = values_of([node])
        return constant(array.astype(numpy_dtype(node.type.dtype), copy=False))
    return node


@contextmanager
def bounded() -> Iterator[None]:
    """Inside the block, the constants that are computed take at most MAX_BYTES together."""
    token = _left.set([MAX_BYTES])
    try:
        yield
    finally:
        _left.reset(token)


def affords(*types: Type) -> bool:
    """Whether constants of these types may be computed now; what they take is counted."""
    if any(isinstance(n, Size) for type in types for n in type.shape):
        return False
    counts, left = [max(math.prod(type.shape), 0) for type in types], _left.get()
    needed = sum(n * numpy_dtype(type.dtype).itemsize for n, type in zip(counts, types, strict=True))
    if any(n > MAX_FOLDED for n in counts) or (left is not None and needed > left[0]):
        return False
    if left is not None:
        left[0] -= needed
    return True


def afford(what: str, shape: Sequence[int], dtype: str) -> None:
    """Raises Unsupported for what can be nothing but a constant and is too large for one."""
    if not affords(Type(tuple(shape), dtype)):
        raise Unsupported(f"{what} of {' x '.join(map(str, shape))} numbers is too large to compute while reading")


def known(x: Any) -> bool:
    """Whether a value follows from constants alone: structure, no weight."""
    return isinstance(x, Node) and (
        isinstance(x.op, Constant)
        or (isinstance(x.op, ops.MakeTensorTuple | ops.TupleGetItem) and bool(x.inputs) and all(map(known, x.inputs)))
    )


def items(op: Any, *inputs: Node) -> tuple[Node, ...]:
    """The parts of an op with several results."""
    made = node_of(op, *inputs)
    if all(known(x) for x in inputs) and affords(*made.type):
        picked = [node_of(ops.TupleGetItem(i), made) for i in range(len(made.type))]
        with numpy.errstate(all="ignore"):
            return tuple(constant(array) for array in values_of(picked))
    return tuple(node_of(ops.TupleGetItem(i), made) for i in range(len(parts(made.type))))


def const(value: Any, dtype: str | None = None) -> Node:
    """A constant of this value."""
    array = numpy.asarray(value)
    return constant(array if dtype is None else array.astype(numpy_dtype(dtype)))


def like(x: Node, value: Any) -> Node:
    """A number in the dtype of x."""
    return const(value, x.type.dtype)


def sizes(values: Any, dtype: str = "int64") -> Node:
    """An integer tensor of sizes, of which some may stay open."""
    array = numpy.asarray(values, dtype=object)
    if not any(isinstance(n, Size) for n in array.ravel()):
        return const(numpy.array(array.tolist(), dtype=numpy_dtype(dtype)).reshape(array.shape))
    return node_of(Sizes(tuple(array.ravel().tolist()), array.shape, dtype))


def sizes_in(x: Node) -> numpy.ndarray | None:
    """The integers of a node, open sizes among them, as an array of objects; None if they are computed from data."""
    match x.op:
        case Constant(array) if array.dtype.kind in "iub":
            return array.astype(object)
        case Sizes(values, shape):
            found = numpy.empty(len(values), dtype=object)
            found[:] = values
            return found.reshape(shape)
    return None


# -- the ops that rows are made of, on nodes ---------------------------------------------------------------------------


def cast(x: Node, dtype: str) -> Node:
    """x in another dtype."""
    if x.type.dtype == dtype:
        return x
    from .ops import CastTo

    plain_ones = ("bool", "int32", "int64", "float32", "float64")
    both = x.type.dtype in plain_ones and dtype in plain_ones
    return apply(ops.Cast(dtype) if both else CastTo(dtype), x)


def reshape(x: Node, shape: Sequence[int]) -> Node:
    """The elements in order as another shape."""
    shape = tuple(shape)
    return x if shape == x.shape and not any(isinstance(n, Size) for n in shape) else apply(ops.Reshape(shape), x)


def permute(x: Node, axes: Sequence[int]) -> Node:
    """Axis i is axis axes[i] of x; permutations one after the other are one."""
    axes = tuple(axes)
    if isinstance(x.op, ops.Permute):
        return permute(x.inputs[0], [x.op.axes[i] for i in axes])
    return x if axes == tuple(range(len(axes))) else apply(ops.Permute(axes), x)


def broadcast(x: Node, shape: Sequence[int]) -> Node:
    """x repeated to a shape."""
    return x if tuple(shape) == x.shape else apply(ops.BroadcastTo(tuple(shape)), x)


def index(x: Node, axis: int, part: Any) -> Node:
    """x[:, ..., part, ...], part an int or (start, stop, step)."""
    return apply(ops.GetItem((*[(None, None, 1)] * axis, part)), x)


def part(start: int, end: int, step: int, n: int) -> slice:
    """A slice of n elements as ONNX means it: one that goes backwards begins at the first element, not before it."""
    lo, hi, by = slice(max(start, -n) if step < 0 else start, end, step).indices(n)
    return slice(lo, None if hi < 0 else hi, by)


def concat(parts: Sequence[Node], axis: int) -> Node:
    """The parts one after the other."""
    if len(parts) == 1:
        return parts[0]
    made = node_of(ops.MakeTensorTuple(), *parts)
    return apply(ops.Concat(axis), made)


def number(x: Node, beside: Node) -> float | None:
    """The number that a constant is which does not widen what is beside it; None if x is none."""
    if isinstance(x.op, Constant) and x.op.array.size == 1 and x.type.dtype == "float32":
        found = float(x.op.array.reshape(-1)[0])
        return found if len(x.shape) <= len(beside.shape) and math.isfinite(found) else None
    return None


def add(a: Node, b: Node) -> Node:
    """a + b"""
    for x, y in ((a, b), (b, a)):
        n = number(y, x)
        if n is not None and not known(x):
            return apply(ops.AddScalar(n), x)
    return apply(ops.EWiseAdd(), a, b)


def mul(a: Node, b: Node) -> Node:
    """a b"""
    for x, y in ((a, b), (b, a)):
        n = number(y, x)
        if n is not None and not known(x):
            return apply(ops.MulScalar(n), x)
    return apply(ops.EWiseMul(), a, b)


def sub(a: Node, b: Node) -> Node:
    """a - b"""
    from .ops import Subtract

    return apply(Subtract(), a, b) if not is_float(a.type.dtype) else add(a, apply(ops.Negate(), b))


def div(a: Node, b: Node) -> Node:
    """a / b of floats."""
    n = number(b, a)
    if n is not None and n != 0 and not known(a):
        return apply(ops.DivScalar(n), a)
    return apply(ops.EWiseDiv(), a, b)


def scale(a: Node, number: float) -> Node:
    """number a"""
    return a if number == 1 else apply(ops.MulScalar(float(number)), a)


def matmul(a: Node, b: Node) -> Node:
    """a @ b"""
    return apply(ops.MatMul(), a, b)


def where(mask: Node, a: Node, b: Node) -> Node:
    """a where the mask is true, else b."""
    return apply(ops.Where(), mask, a, b)


def total(x: Node, axes: Sequence[int], keep: bool) -> Node:
    """The sum over axes, in the dtype of x."""
    y = cast(apply(ops.Summation(tuple(axes)), x), x.type.dtype)
    return reshape(y, keep_shape(x, axes)) if keep else y


def mean(x: Node, axes: Sequence[int], keep: bool) -> Node:
    """The mean over axes."""
    return apply(ops.Mean(tuple(axes), keep), x)


def keep_shape(x: Node, axes: Sequence[int]) -> tuple[int, ...]:
    """The shape with 1 at these axes."""
    return tuple(1 if i in axes else n for i, n in enumerate(x.shape))


def axis_of(axis: int, rank: int) -> int:
    """The axis counted from the front. Raises Unsupported outside."""
    if not -rank <= axis < max(rank, 1):
        raise Unsupported(f"axis {axis} of {rank} axes")
    return axis % rank if rank else 0


def last(x: Node, axis: int) -> tuple[Node, list[int]]:
    """x with an axis moved to the end, and the permutation that moves it back."""
    rank = len(x.shape)
    order = [i for i in range(rank) if i != axis] + [axis]
    return permute(x, order), [order.index(i) for i in range(rank)]


def in_float32(x: Node) -> Node:
    """Half floats as float32, in which they are computed; all else as it is."""
    return cast(x, "float32") if x.type.dtype in HALVES else x

