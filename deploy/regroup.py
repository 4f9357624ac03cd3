"""How the axes of one shape make those of another, whatever the named dims are."""

from __future__ import annotations

from collections.abc import Sequence

from needle.size_terms import divided
from needle.sizes import of, terms_of

from .ir import dim_key

Factors = list[int]
Places = list[list[int]]  # which factors an axis is made of, the outermost first; none for one of size 1


def common_factors(a: Sequence[int], b: Sequence[int]) -> tuple[Factors, Places, Places] | None:
    """Sizes > 1 of which, in order, the axes of both shapes are products; None where there are none for every size.

    (6, 4) and (2, 12) are made of 2, 3, 4: of 2 3 | 4, and of 2 | 3 4.
    """
    factors: Factors = []
    ours: Places = [[] for _ in a]
    theirs: Places = [[] for _ in b]
    left, right = _long_axes(a), _long_axes(b)
    while left and right:
        (i, p), (j, q) = left.pop(), right.pop()
        ours[i].append(len(factors))
        theirs[j].append(len(factors))
        if dim_key(p) == dim_key(q):
            factors.append(p)
        elif (rest := exact(p, q)) is not None:
            factors.append(q)
            left.append((i, rest))
        elif (rest := exact(q, p)) is not None:
            factors.append(p)
            right.append((j, rest))
        else:
            return None
    return None if left or right else (factors, ours, theirs)


def exact(a: int, b: int) -> int | None:
    """a / b where b is one product that divides a for every size, else None."""
    found = divided(terms_of(a), terms_of(b))
    return None if found is None else of(found)


def _long_axes(shape: Sequence[int]) -> list[tuple[int, int]]:
    """The axes that are longer than 1, with their sizes, the first one last."""
    return [(k, size) for k, size in enumerate(shape) if dim_key(size) != 1][::-1]


def reshaped_strides(shape: Sequence[int], strides: Sequence[int], wanted: Sequence[int]) -> tuple[int, ...] | None:
    """The strides with which elements of `shape` that lie `strides` apart are read as `wanted`; None where a copy is
    needed.
    """
    found = common_factors(shape, wanted)
    if found is None:
        return None
    factors, ours, theirs = found
    steps = [0] * len(factors)
    for stride, places in zip(strides, ours, strict=True):
        for k in reversed(places):
            steps[k], stride = stride, stride * factors[k]
    for places in theirs:
        if not all(dim_key(steps[k]) == dim_key(steps[k + 1] * factors[k + 1]) for k in places[:-1]):
            return None
    return tuple(steps[places[-1]] if places else 1 for places in theirs)
