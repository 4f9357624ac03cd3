"""Samples, meaning and PyTorch counterpart of erf, abs, sign, square root, clip, the larger and the smaller of two."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from needle import ops
from tests.case import SHAPES, Array, Case, Refusal, normal, positive, torch

PAIRS = [((3, 4), (3, 4)), ((3, 4), (4,)), ((2, 1, 3), (4, 1)), ((), (2, 3)), ((0, 3), (1, 3)), ((), ())]
TIED = (np.array([1.0, 2.0, -3.0]), np.array([1.0, -2.0, -3.0]))


def elementwise(f: Callable[..., float]) -> Callable[..., Array]:
    """f, of the op and numbers, for every element."""

    def mapped(op: Any, *arrays: Array) -> Array:
        wide = np.broadcast_arrays(*arrays)
        values = [f(op, *each) for each in zip(*[x.reshape(-1) for x in wide], strict=True)]
        return np.asarray(values, dtype=float).reshape(wide[0].shape)

    return mapped


def clipped(op: Any, x: float) -> float:
    x = op.low if op.low is not None and x < op.low else x
    return op.high if op.high is not None and x > op.high else x


CASES: list[Case] = [
    *(Case(op(), (normal(*s) * 2,)) for op in (ops.Erf, ops.Abs, ops.Sign) for s in SHAPES),
    *(Case(ops.Sqrt(), (positive(*s),)) for s in SHAPES),
    *(Case(ops.Clip(*b), (normal(4, 3),)) for b in ((-0.5, 0.7), (None, 0.2), (0.1, None), (None, None), (1, -1))),
    *(Case(ops.Clip(-1, 1), (normal(*s),)) for s in SHAPES),
    *(Case(op(), (normal(*a), normal(*b))) for op in (ops.Maximum, ops.Minimum) for a, b in PAIRS),
    *(Case(ops.LargerShare(), (normal(*a), normal(*b)), fixed=(0, 1)) for a, b in PAIRS),
    Case(ops.LargerShare(), TIED, fixed=(0, 1)),
]

MEANING: dict[type, Callable[..., Any]] = {
    ops.Erf: elementwise(lambda op, a: math.erf(a)),
    ops.Abs: elementwise(lambda op, a: a if a > 0 else -a),
    ops.Sign: elementwise(lambda op, a: 1 if a > 0 else -1 if a < 0 else 0),
    ops.Sqrt: elementwise(lambda op, a: math.exp(0.5 * math.log(a))),
    ops.Clip: elementwise(clipped),
    ops.Maximum: elementwise(lambda op, a, b: a if a > b else b),
    ops.Minimum: elementwise(lambda op, a, b: a if a < b else b),
    ops.LargerShare: elementwise(lambda op, a, b: 1 if a > b else 0.5 if a == b else 0),
}

TORCH: dict[type, Callable[..., Any]] = {
    ops.Erf: lambda op, a: torch.erf(a),
    ops.Abs: lambda op, a: torch.abs(a),
    ops.Sqrt: lambda op, a: torch.sqrt(a),
    ops.Clip: lambda op, a: a * 1 if op.low is op.high is None else torch.clamp(a, op.low, op.high),
    ops.Maximum: lambda op, a, b: torch.maximum(a, b),
    ops.Minimum: lambda op, a, b: torch.minimum(a, b),
}

REFUSALS: list[Refusal] = [
    (ops.Maximum(), ((2, 3), (2,)), r"\[maximum\] shapes must be equal or broadcast, got \(2, 3\) and \(2,\)"),
    (ops.Minimum(), ((2, 3), (2,)), r"\[minimum\] shapes must be equal or broadcast"),
]
