"""Samples, meaning, PyTorch counterpart and refusals of the ops of elementwise arithmetic, exp and log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from needle import ops
from tests.case import SHAPES, Case, Refusal, normal, positive, torch

PAIRS = [((3, 4), (3, 4)), ((3, 4), (4,)), ((2, 1, 3), (4, 1)), ((), (2, 3)), ((0, 3), (1, 3)), ((), ())]

CASES: list[Case] = [
    *(Case(op(), (normal(*a), positive(*b))) for op in (ops.EWiseAdd, ops.EWiseMul, ops.EWiseDiv) for a, b in PAIRS),
    *(Case(ops.EWisePow(), (positive(*a), normal(*b))) for a, b in PAIRS),
    *(
        Case(op, (normal(*shape),))
        for op in (ops.AddScalar(1.5), ops.MulScalar(-2.5), ops.DivScalar(3.0), ops.Negate(), ops.FusedAddScalars(1, 2))
        for shape in SHAPES
    ),
    *(Case(ops.PowerScalar(p), (positive(3, 4),)) for p in (-2, -0.5, 0, 0.5, 1, 2, 3)),
    *(Case(ops.PowerScalar(p), (np.array([-1.5, 0.0, 2.0]),)) for p in (0, 1, 2, 3)),
    *(Case(ops.PowerScalar(2.5), (positive(*shape),)) for shape in ((), (0, 2))),
    *(Case(ops.Log(), (positive(*shape),)) for shape in SHAPES),
    *(Case(ops.Exp(), (normal(*s),)) for s in SHAPES),
    Case(ops.FusedAddScalars(1, 2), (normal(3),), outputs=1),
]

MEANING: dict[type, Callable[..., Any]] = {
    ops.EWiseAdd: lambda op, a, b: a + b,
    ops.AddScalar: lambda op, a: a + op.scalar,
    ops.EWiseMul: lambda op, a, b: a * b,
    ops.MulScalar: lambda op, a: a * op.scalar,
    ops.EWisePow: lambda op, a, b: np.exp(b * np.log(a)),
    ops.PowerScalar: lambda op, a: np.vectorize(lambda x: float(x) ** op.scalar, otypes=[float])(a),
    ops.EWiseDiv: lambda op, a, b: a * (1 / b),
    ops.DivScalar: lambda op, a: a * (1 / op.scalar),
    ops.Negate: lambda op, a: 0.0 - a,
    ops.Log: lambda op, a: np.log2(a) / np.log2(np.e),
    ops.Exp: lambda op, a: np.power(np.e, a),
    ops.FusedAddScalars: lambda op, a: (a + op.c0, a + op.c1),
}

TORCH: dict[type, Callable[..., Any]] = {
    ops.EWiseAdd: lambda op, a, b: a + b,
    ops.AddScalar: lambda op, a: a + op.scalar,
    ops.EWiseMul: lambda op, a, b: a * b,
    ops.MulScalar: lambda op, a: a * op.scalar,
    ops.EWisePow: lambda op, a, b: a**b,
    ops.PowerScalar: lambda op, a: a**op.scalar,
    ops.EWiseDiv: lambda op, a, b: a / b,
    ops.DivScalar: lambda op, a: a / op.scalar,
    ops.Negate: lambda op, a: -a,
    ops.Log: lambda op, a: torch.log(a),
    ops.Exp: lambda op, a: torch.exp(a),
}

REFUSALS: list[Refusal] = [
    (ops.EWiseAdd(), ((2, 3), (2, 4)), r"\[add\] shapes must be equal or broadcast, got \(2, 3\) and \(2, 4\)"),
    (ops.EWiseMul(), ((2, 3), (3, 2)), r"\[multiply\] .*\(2, 3\) and \(3, 2\)"),
    (ops.EWisePow(), ((2,), (3,)), r"\[power\] .*\(2,\) and \(3,\)"),
    (ops.EWiseDiv(), ((2,), (3,)), r"\[divide\] .*\(2,\) and \(3,\)"),
]  # fmt: skip
