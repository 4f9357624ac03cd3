"""Rules for shapes and dtypes that the ops share. Shapes are tuples of ints or `Dim`s; no data is touched here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy

from ..backend_selection import BACKEND
from ..errors import BroadcastError, DTypeError, ShapeError
from ..types import DTYPES, INTEGERS, Dim, Type, dtype_of, number_of, plain_number, promote, promote_number, summed

PLAIN = frozenset({bool, int, float, str, tuple, type(None)})
SMALL = 2**31  # whole numbers below it fit every dtype of numbers
Axes = int | tuple[int, ...] | None
Pair = tuple[int, int]  # of the rows and of the columns of an image
NUMBER: tuple[int, ...] = (1,) if BACKEND == "nd" else ()  # the shape of a sum over everything, as each backend has it


def pair(value: int | Sequence[int]) -> Pair:
    """(rows, columns) of one number for both, or of two; ShapeError for anything else."""
    one = plain_number(value)
    sizes = (one, one) if isinstance(one, int) else tuple(map(plain_number, one))
    if len(sizes) != 2 or not all(isinstance(n, int) for n in sizes):
        raise ShapeError(f"[images] a size is one number, or two for rows and columns, got {value}")
    return sizes[0], sizes[1]


def axis_of(where: str, axis: int, ndim: int) -> int:
    """`axis` counted from the front; ShapeError unless it names one of `ndim` axes."""
    if not -ndim <= axis < ndim:
        raise ShapeError(f"[{where}] axis must be in {-ndim}..{ndim - 1} for {ndim} axes, got {axis}")
    return axis % ndim


@lru_cache(maxsize=1024)
def axes_of(where: str, axes: Axes, ndim: int) -> tuple[int, ...]:
    """`axes` (None: all, an int, or several) counted from the front, in the order given and without repeats."""
    if axes is None:
        return tuple(range(ndim))
    if not isinstance(axes, tuple):
        return (axis_of(where, axes, ndim),)
    found = tuple(axis_of(where, axis, ndim) for axis in axes)
    if len(set(found)) != len(found):
        raise ShapeError(f"[{where}] axes must differ, got {tuple(axes)} for {ndim} axes")
    return found


def either(where: str, axes: Axes, axis: Axes) -> Axes:
    """The axes of a reduction, named `axes` or, as numpy has it, `axis`. ShapeError where both are given."""
    if axis is None:
        return axes
    if axes is not None:
        raise ShapeError(f"[{where}] axes and axis mean the same, give one of them; got {axes} and {axis}")
    return axis


def sizes(where: str, given: Sequence[Any]) -> tuple[int, ...]:
    """The arguments of `f(2, 3)`, or of `f((2, 3))`, as a tuple of whole numbers. ShapeError for anything else."""
    found = given[0] if len(given) == 1 and isinstance(given[0], Iterable) else given
    found = tuple(found)
    if not all(isinstance(size, INTEGERS) for size in found):
        raise ShapeError(f"[{where}] needs whole numbers, or one tuple of them, got {', '.join(map(repr, given)):.100}")
    return found


def without(shape: Sequence[int], axes: Sequence[int]) -> tuple[int, ...]:
    """The sizes of the axes that are not among `axes`."""
    return tuple(n for i, n in enumerate(shape) if i not in axes)


def kept(shape: Sequence[int], axes: Sequence[int]) -> tuple[int, ...]:
    """The shape with 1 at `axes`: what a reduction over them leaves when it keeps its dimensions."""
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def replaced(shape: Sequence[int], axis: int, size: int) -> tuple[int, ...]:
    """The shape with another size of one axis."""
    return (*shape[:axis], size, *shape[axis + 1 :])


@lru_cache(maxsize=1024)
def swapped(where: str, axes: tuple[int, ...] | None, ndim: int) -> tuple[int, ...]:
    """The permutation that exchanges two axes, the last two by default."""
    if axes is None:
        axes = (-2, -1)
    if len(axes) != 2 or ndim < 2:
        raise ShapeError(f"[{where}] exchanges two axes, got axes {tuple(axes)} for {ndim} axes")
    order = list(range(ndim))
    i, j = (axis_of(where, axis, ndim) for axis in axes)
    order[i], order[j] = order[j], order[i]
    return tuple(order)


def broadcast_shape(where: str, a: Sequence[int], b: Sequence[int]) -> tuple[int, ...]:
    """numpy's rule: shapes aligned at the right, sizes equal or one of them 1. Raises BroadcastError."""
    rank = max(len(a), len(b))
    wide_a, wide_b = (1,) * (rank - len(a)) + tuple(a), (1,) * (rank - len(b)) + tuple(b)
    if any(m != n and m != 1 and n != 1 for m, n in zip(wide_a, wide_b, strict=True)):
        raise BroadcastError(f"[{where}] shapes must be equal or broadcast, got {tuple(a)} and {tuple(b)}")
    return tuple(map(_wider, wide_a, wide_b))


def _wider(m: int, n: int) -> int:
    """The size that two, of which one is 1 or which are equal, broadcast to; a size with a name keeps it."""
    return m if n == 1 and not isinstance(n, Dim) else n if m == 1 else m


def check_broadcast_to(where: str, shape: Sequence[int], target: Sequence[int]) -> None:
    """BroadcastError unless `shape` repeats to `target` by numpy's rule."""
    tail = target[len(target) - len(shape) :]
    fits = len(shape) <= len(target) and all(m in (n, 1) for m, n in zip(shape, tail, strict=True))
    if not fits or min(target, default=0) < 0:
        raise BroadcastError(f"[{where}] {tuple(shape)} does not broadcast to {tuple(target)}")


def expanded_axes(shape: Sequence[int], target: Sequence[int]) -> tuple[int, ...]:
    """The axes of `target` along which an array of `shape`, broadcast to it, repeats."""
    extra = len(target) - len(shape)
    return (*range(extra), *(extra + i for i, n in enumerate(shape) if n == 1 and target[extra + i] != 1))


def reshaped(where: str, shape: Sequence[int], target: Sequence[int]) -> tuple[int, ...]:
    """`target` with its -1, if there is one, replaced by the size that is left. Raises ShapeError."""
    size = math.prod(shape)
    if any(n == -1 for n in target):
        known = math.prod(n for n in target if n != -1)
        if known > 0 and size % known == 0 and sum(n == -1 for n in target) == 1:
            return tuple(size // known if n == -1 else n for n in target)
    elif size == math.prod(target) and min(target, default=0) >= 0:
        return tuple(target)
    raise ShapeError(f"[{where}] {tuple(shape)} has {int(size)} elements and cannot be seen as {tuple(target)}")


def promoted(a: str, b: str) -> str:
    """The dtype of a result computed from dtypes `a` and `b`: by `promote`, in numpy mode by numpy's own rule."""
    return a if a == b else promote(a, b) if BACKEND == "nd" else str(numpy.result_type(a, b))


def known_dtype(where: str, dtype: Any) -> str:
    """The name of a dtype that arrays of this backend can have. DTypeError if there is none."""
    if BACKEND == "nd" or (isinstance(dtype, str) and dtype in DTYPES):
        return dtype_of(where, dtype)
    try:
        name, kind = str(numpy.dtype(dtype).name), numpy.dtype(dtype).kind
    except (TypeError, ValueError, SyntaxError):
        kind, name = "", repr(dtype)
    if kind not in ("b", "i", "u", "f"):
        raise DTypeError(f"[{where}] dtype must be one of {', '.join(DTYPES)}, got {name}")
    return name


def one_dtype(where: str, *types: Type) -> str:
    """The dtype of operands that must agree in it. DTypeError where they do not, but in numpy mode, which promotes."""
    meeting = types[0].dtype
    for type in types[1:]:
        meeting = promoted(meeting, type.dtype)
    if BACKEND == "nd" and any(type.dtype != meeting for type in types):
        given = ", ".join(each.dtype for each in types)
        raise DTypeError(f"[{where}] operands must have one dtype, got {given}; x.astype(\"{meeting}\") casts")
    return meeting


def one_float(where: str, *types: Type) -> str:
    """The dtype of operands that must be floats of one dtype. DTypeError where they are not; see `one_dtype`."""
    dtype = one_dtype(where, *types)
    if not dtype.startswith("float") and BACKEND == "nd":
        raise DTypeError(f"[{where}] needs float32 or float64, got {dtype}; x.astype(\"float32\") casts")
    return dtype


def elementwise(where: str, a: Type, b: Type) -> Type:
    """The type of an elementwise op on two operands."""
    if a == b:
        return a
    return Type(broadcast_shape(where, a.shape, b.shape), promoted(a.dtype, b.dtype))


def number(where: str, scalar: Any, dtype: Any = "float32") -> Any:
    """`scalar` as a Python number, which leaves the dtype of an array alone; DTypeError if it is none, or too large."""
    kind = scalar.__class__
    small = kind is float or (kind is int and -SMALL <= scalar < SMALL)
    return scalar if small else number_of(where, scalar, dtype)


def with_scalar(where: str, x: Type, scalar: Any) -> Type:
    """The type of an elementwise op on a tensor and a number."""
    value = number(where, scalar, x.dtype)
    if x.dtype.startswith("float"):
        return x
    return Type(x.shape, promote_number(x.dtype, value) if BACKEND == "nd" else str(numpy.result_type(x.dtype, value)))


def real(x: Type) -> Type:
    """The type of exp, log, tanh ... of `x`: floats stay; bool and integers become float32, in numpy mode float64."""
    return x if x.dtype.startswith("float") else Type(x.shape, "float32" if BACKEND == "nd" else "float64")


def signed(where: str, x: Type) -> Type:
    """The type of -x: DTypeError for bool, as numpy has it."""
    if x.dtype == "bool":
        raise DTypeError(f"[{where}] is not defined for bool; x.astype(\"float32\") or another dtype casts")
    return x


@lru_cache
def total_dtype(dtype: str) -> str:
    """The dtype of a sum: bool and integers are summed in int64, in numpy mode as numpy has it."""
    return summed(dtype) if BACKEND == "nd" else str(numpy.zeros(0, dtype).sum().dtype)


class PlainFields:
    """An op whose attributes become plain Python, so that it can be compared, hashed and recorded in a graph.

    Lists become tuples; numpy numbers, and arrays and Tensors of one element, numbers.
    """

    def __post_init__(self) -> None:
        for name, value in self.__dict__.items():
            if value.__class__ not in PLAIN:
                object.__setattr__(self, name, tuple(value) if isinstance(value, list) else plain_number(value))
