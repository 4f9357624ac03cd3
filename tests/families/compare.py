"""Samples, meaning and refusals of comparisons, logic and the choice by a mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from needle import ops
from tests.case import SHAPES, Array, Case, Refusal, ids, normal, torch
from tests.families.elementary import PAIRS

COMPARISONS = (ops.Equal, ops.NotEqual, ops.Less, ops.LessEqual, ops.Greater, ops.GreaterEqual)
TIED = (np.array([1.0, 2.0, -3.0, 0.0]), np.array([1.0, -2.0, 3.0, -0.0]))


def truth(f: Callable[..., bool]) -> Callable[..., Array]:
    """Whether f holds of the elements."""

    def mapped(op: Any, *arrays: Array) -> Array:
        wide = np.broadcast_arrays(*arrays)
        found = [bool(f(*each)) for each in zip(*[x.reshape(-1) for x in wide], strict=True)]
        return np.asarray(found, dtype=bool).reshape(wide[0].shape)

    return mapped


def where(op: Any, mask: Array, a: Array, b: Array) -> Array:
    mask, a, b = np.broadcast_arrays(mask, a, b)
    out = np.zeros(mask.shape)
    for index in np.ndindex(*mask.shape):
        out[index] = a[index] if mask[index] != 0 else b[index]
    return out


CASES: list[Case] = [
    *(Case(op(), (normal(*a), normal(*b)), fixed=(0, 1)) for op in COMPARISONS for a, b in PAIRS),
    *(Case(op(), TIED, fixed=(0, 1)) for op in COMPARISONS),
    *(Case(op(), (ids(2, *a), ids(2, *b)), fixed=(0, 1)) for op in (ops.LogicalAnd, ops.LogicalOr) for a, b in PAIRS),
    *(Case(ops.LogicalNot(), (ids(2, *s),), fixed=(0,)) for s in SHAPES),
    *(
        Case(ops.Where(), (ids(2, *m), normal(*a), normal(*b)), fixed=(0,))
        for m, a, b in [
            ((3, 4), (3, 4), (3, 4)), ((3, 4), (4,), ()), ((3, 1), (1, 4), (3, 4)), ((2,), (), ()), ((), (2, 3), (3,)),
            ((0, 3), (3,), (1, 3)), ((), (), ()), ((2, 3, 1, 2), (1, 1), (3, 1, 1)), ((4, 5), (), (4, 1)),
        ]
    ),
]  # fmt: skip

MEANING: dict[type, Callable[..., Any]] = {
    ops.Equal: truth(lambda a, b: a == b),
    ops.NotEqual: truth(lambda a, b: a != b),
    ops.Less: truth(lambda a, b: a < b),
    ops.LessEqual: truth(lambda a, b: a < b or a == b),
    ops.Greater: truth(lambda a, b: b < a),
    ops.GreaterEqual: truth(lambda a, b: b < a or a == b),
    ops.LogicalAnd: truth(lambda a, b: a * b != 0),
    ops.LogicalOr: truth(lambda a, b: abs(a) + abs(b) != 0),
    ops.LogicalNot: truth(lambda a: a == 0),
    ops.Where: where,
}

TORCH: dict[type, Callable[..., Any]] = {ops.Where: lambda op, mask, a, b: torch.where(mask != 0, a, b)}

REFUSALS: list[Refusal] = [
    (ops.Less(), ((2, 3), (2,)), r"\[less\] shapes must be equal or broadcast, got \(2, 3\) and \(2,\)"),
    (ops.LogicalAnd(), ((2, 3), (2,)), r"\[logical_and\] shapes must be equal or broadcast"),
    (ops.Where(), ((2,), (3,), ()), r"\[where\] shapes must be equal or broadcast, got \(2,\) and \(3,\)"),
]
