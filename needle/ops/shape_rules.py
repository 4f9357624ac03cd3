"""The shapes of results: what ops do to the sizes of axes, which are ints or `Size`s. No data is touched here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import index

from ..backend_selection import BACKEND
from ..errors import BroadcastError, ShapeError
from ..sizes import Size

NUMBER: tuple[int, ...] = (1,) if BACKEND == "nd" else ()  # the shape of a sum over everything, as each backend has it

LONGEST = 2**31  # elements along an axis
INT = frozenset({int})  # the type of nearly all sizes


def without(shape: Sequence[int], axes: Sequence[int]) -> tuple[int, ...]:
    """The sizes of the axes that are not among `axes`."""
    return tuple(n for i, n in enumerate(shape) if i not in axes)


def keepdims_shape(shape: Sequence[int], axes: Sequence[int]) -> tuple[int, ...]:
    """The shape with 1 at `axes`: what a reduction over them leaves when it keeps its dimensions."""
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def replaced(shape: Sequence[int], axis: int, size: int) -> tuple[int, ...]:
    """The shape with another size of one axis."""
    return (*shape[:axis], size, *shape[axis + 1 :])


def broadcast_shape(where: str, a: Sequence[int], b: Sequence[int]) -> tuple[int, ...]:
    """numpy's rule: shapes aligned at the right, sizes equal or one of them 1. Raises BroadcastError."""
    rank = max(len(a), len(b))
    wide_a, wide_b = (1,) * (rank - len(a)) + tuple(a), (1,) * (rank - len(b)) + tuple(b)
    if any(m != n and m != 1 and n != 1 for m, n in zip(wide_a, wide_b, strict=True)):
        raise BroadcastError(f"[{where}] shapes must be equal or broadcast, got {tuple(a)} and {tuple(b)}")
    return tuple(map(_wider, wide_a, wide_b))


def _wider(m: int, n: int) -> int:
    """The size that two, of which one is 1 or which are equal, broadcast to; a size with a name keeps it."""
    return m if n == 1 and not isinstance(n, Size) else n if m == 1 else m


def check_broadcast_to(where: str, shape: Sequence[int], target: Sequence[int]) -> None:
    """BroadcastError unless `shape` repeats to `target` by numpy's rule, ShapeError for what are no whole numbers."""
    if not INT.issuperset(map(type, target)):
        whole_sizes(where, target)
    tail = target[len(target) - len(shape) :]
    fits = len(shape) <= len(target) and all(m in (n, 1) for m, n in zip(shape, tail, strict=True))
    if not fits or any(n < 0 for n in target):
        raise BroadcastError(f"[{where}] {tuple(shape)} does not broadcast to {tuple(target)}")


def expanded_axes(shape: Sequence[int], target: Sequence[int]) -> tuple[int, ...]:
    """The axes of `target` along which an array of `shape`, broadcast to it, repeats."""
    extra = len(target) - len(shape)
    return (*range(extra), *(extra + i for i, n in enumerate(shape) if n == 1 and target[extra + i] != 1))


def reshaped(where: str, shape: Sequence[int], target: Sequence[int]) -> tuple[int, ...]:
    """`target` with its -1, if there is one, replaced by the size that is left. Raises ShapeError."""
    size = math.prod(shape)
    if not INT.issuperset(map(type, target)):
        target = whole_sizes(where, target)
    if -1 in target:
        known = math.prod(n for n in target if n != -1)
        if known > 0 and size % known == 0 and sum(n == -1 for n in target) == 1:
            return tuple(size // known if n == -1 else n for n in target)
    elif size == math.prod(target) and all(n >= 0 for n in target):
        return tuple(target)
    raise ShapeError(f"[{where}] {tuple(shape)} has {size} elements and cannot be seen as {tuple(target)}")


def whole_sizes(where: str, sizes: Sequence[int]) -> tuple[int, ...]:
    """`sizes` as ints, or `Size`s, where they may be numpy's. ShapeError for what are no whole numbers."""
    try:
        return tuple(n if isinstance(n, Size) else index(n) for n in sizes)
    except TypeError:
        raise ShapeError(f"[{where}] sizes must be whole numbers, got {tuple(sizes)}") from None


def extent(where: str, size: int) -> int:
    """The size of an axis that an op is told, which may be open. ShapeError unless it is one."""
    if size < 0 or (not isinstance(size, Size) and size >= LONGEST):
        raise ShapeError(f"[{where}] the size of an axis must be in 0..{LONGEST - 1}, got {size}")
    return size
