"""The attributes of ops as callers give them: axes, sizes and numbers, checked, and as plain Python."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from operator import index
from typing import Any

from ..errors import ShapeError
from ..types import INTEGERS, TYPES, number_of, plain_number

PLAIN = frozenset({bool, int, float, str, tuple, type(None)})
SMALL = 2**31  # whole numbers below it fit every WIDE dtype, and most dtypes are such
WIDE = frozenset(name for name, x in TYPES.items() if x.low <= -SMALL < SMALL <= x.high)
Axes = int | tuple[int, ...] | None
Pair = tuple[int, int]  # of the rows and of the columns of an image


class PlainFields:
    """An op whose attributes become plain Python, so that it can be compared, hashed and recorded in a graph.

    Lists become tuples; numpy numbers, and arrays and Tensors of one element, numbers.
    """

    def __post_init__(self) -> None:
        for name, value in self.__dict__.items():
            if value.__class__ not in PLAIN:
                object.__setattr__(self, name, tuple(value) if isinstance(value, list) else plain_number(value))


def pair(value: int | Sequence[int]) -> Pair:
    """(rows, columns) of one number for both, or of two; ShapeError for anything else."""
    one = plain_number(value)
    sizes = (one, one) if isinstance(one, int) else tuple(map(plain_number, one if isinstance(one, Iterable) else ()))
    if len(sizes) != 2 or not all(isinstance(n, int) for n in sizes):
        raise ShapeError(f"[images] a size is one whole number, or two for rows and columns, got {value}")
    return sizes[0], sizes[1]


def axis_of(where: str, axis: int, ndim: int) -> int:
    """`axis` counted from the front, as a plain int; ShapeError unless it names one of `ndim` axes."""
    try:
        place = index(axis)
    except TypeError:
        raise ShapeError(f"[{where}] axis must be a whole number, got {axis!r:.50}") from None
    if not -ndim <= place < ndim:
        raise ShapeError(f"[{where}] axis must be in {-ndim}..{ndim - 1} for {ndim} axes, got {axis}")
    return place % ndim


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


def number(where: str, scalar: Any, dtype: Any = "float32") -> Any:
    """`scalar` as a Python number, which leaves the dtype of an array alone; DTypeError if it is none, or too large."""
    kind = scalar.__class__
    fits = kind is float or (kind is int and -SMALL <= scalar < SMALL and dtype in WIDE)
    return scalar if fits else number_of(where, scalar, dtype)
