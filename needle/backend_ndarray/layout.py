"""Arithmetic on shapes and strides (in elements): pure, cached functions on tuples.

To a cache 1.0 is 1: what it returns holds plain ints whatever it was asked with, and floats are refused.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from operator import index
from typing import Any

from needle.errors import ShapeError

Ints = tuple[int, ...]
Axes = int | Sequence[int] | None


@lru_cache(maxsize=8192)
def compact_strides(shape: Ints) -> Ints:
    """Strides of a row-major array: the last axis steps by one."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(whole("shape", size), 1)
    return tuple(reversed(strides))


@lru_cache(maxsize=8192)
def is_row_major(shape: Ints, strides: Ints) -> bool:
    """Whether the elements lie in row-major order without gaps (axes of size one may have any stride)."""
    return 0 in shape or all(
        size == 1 or stride == needed
        for size, stride, needed in zip(shape, strides, compact_strides(shape), strict=True)
    )


@lru_cache(maxsize=8192)
def is_dense(shape: Ints, strides: Ints) -> bool:
    """Whether some permutation of the axes is row-major: NHWC memory seen as NCHW is dense."""
    step = 1
    for stride, size in sorted((stride, size) for size, stride in zip(shape, strides, strict=True) if size != 1):
        if stride != step:
            return 0 in shape
        step *= size
    return True


def as_axes(axes: Axes) -> int | Ints | None:
    """Axes as something that can be looked up in a cache."""
    if axes is None or isinstance(axes, (int, tuple)):
        return axes
    return tuple(axes) if isinstance(axes, Iterable) else axes


def whole(where: str, number: Any) -> int:
    """An axis or a size as a plain int. ShapeError for what is no whole number."""
    try:
        return index(number)
    except TypeError:
        raise ShapeError(f"[{where}] axes and sizes must be whole numbers, got {number!r:.50}") from None


@lru_cache(maxsize=8192)
def distinct_axes(where: str, ndim: int, axes: int | Ints | None) -> Ints:
    """Axes as ascending numbers 0..ndim-1; None is all of them."""
    named = range(ndim) if axes is None else axes if isinstance(axes, tuple) else (axes,)
    given = [whole(where, axis) for axis in named]
    found = tuple(sorted({axis % ndim for axis in given if -ndim <= axis < ndim}))
    if len(found) != len(given):
        raise ShapeError(f"[{where}] axes must be distinct and lie in {-ndim}..{ndim - 1}, got {axes}")
    return found


@lru_cache(maxsize=8192)
def reduced_shape(shape: Ints, axes: int | Ints | None, keepdims: bool) -> Ints:
    """The shape after a reduction: as in numpy, but (1,) when all axes go."""
    if axes is None and not keepdims:
        return (1,)
    gone = distinct_axes("reduce", len(shape), axes)
    if not gone and axes is not None:
        raise ShapeError("[reduce] needs at least one axis, got an empty tuple")
    return tuple(1 if a in gone else whole("reduce", n) for a, n in enumerate(shape) if keepdims or a not in gone)
