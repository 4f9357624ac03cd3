"""Arithmetic on shapes and strides (in elements): pure, cached functions on tuples."""

from functools import lru_cache
from math import prod

Ints = tuple[int, ...]


@lru_cache(maxsize=8192)
def compact_strides(shape: Ints) -> Ints:
    """Strides of a row-major array: the last axis steps by one."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
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


@lru_cache(maxsize=8192)
def reduction(shape: Ints, strides: Ints, axes: Ints) -> tuple[tuple[tuple[int, int, int], ...], Ints]:
    """How to reduce `axes` of a dense array in the order of its memory.

    Returns the passes, each an (outer, k, inner) whose middle axis is reduced, and the strides of the result with its
    reduced axes kept as size one: what remains keeps its order in memory.
    """
    order = sorted((axis for axis in range(len(shape)) if shape[axis] != 1), key=lambda axis: -strides[axis])
    runs: list[tuple[int, bool]] = []  # sizes in the order of memory, neighbours of one kind merged
    for axis in order:
        reduced = axis in axes
        if runs and runs[-1][1] == reduced:
            runs[-1] = (runs[-1][0] * shape[axis], reduced)
        else:
            runs.append((shape[axis], reduced))
    passes = []
    while any(reduced for _, reduced in runs):
        last = max(at for at, (_, reduced) in enumerate(runs) if reduced)
        sizes = [size for size, _ in runs]
        passes.append((prod(sizes[:last]), sizes[last], prod(sizes[last + 1 :])))
        del runs[last]
    step, kept = 1, [1] * len(shape)
    for axis in reversed(order):
        if axis not in axes:
            kept[axis] = step
            step *= shape[axis]
    return tuple(passes), tuple(kept)
