"""Samples, meaning and PyTorch counterpart of trigonometry, hyperbolic functions, rounding, and what is no number."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from needle import ops
from tests.case import SHAPES, Array, Case, normal, torch
from tests.families.elementary import elementwise

ANYWHERE = (ops.Sin, ops.Cos, ops.Atan, ops.Sinh, ops.Cosh, ops.Asinh, ops.Floor, ops.Ceil, ops.Round)
SPECIAL = np.array([[1.0, np.nan, np.inf], [-np.inf, 0.0, -2.5]])


def inside(*shape: int) -> Array:
    """Numbers between -0.9 and 0.9."""
    return np.tanh(normal(*shape)) * 0.9


CASES: list[Case] = [
    *(Case(op(), (normal(*s) * 2,)) for op in ANYWHERE for s in SHAPES),
    *(Case(op(), (inside(*s),)) for op in (ops.Tan, ops.Asin, ops.Acos, ops.Atanh) for s in SHAPES),
    *(Case(ops.Acosh(), (1.5 + inside(*s) ** 2,)) for s in SHAPES),
    Case(ops.Round(), (np.array([0.5 - 1e-3, 1.5 + 1e-3, -2.5 + 1e-3]),)),
    *(Case(ops.IsNaN(), (x,), fixed=(0,)) for x in (SPECIAL, normal(3), normal(0, 2))),
    *(Case(ops.IsInf(*signs), (SPECIAL,), fixed=(0,)) for signs in ((), (True, False), (False, True), (False, False))),
]


def infinite(op: Any, a: float) -> bool:
    return (a == math.inf and op.positive) or (a == -math.inf and op.negative)


def as_bool(f: Callable[..., Array]) -> Callable[..., Array]:
    return lambda op, *arrays: f(op, *arrays).astype(bool)


MEANING: dict[type, Callable[..., Any]] = {
    ops.Sin: elementwise(lambda op, a: math.sin(a)),
    ops.Cos: elementwise(lambda op, a: math.cos(a)),
    ops.Tan: elementwise(lambda op, a: math.tan(a)),
    ops.Asin: elementwise(lambda op, a: math.asin(a)),
    ops.Acos: elementwise(lambda op, a: math.acos(a)),
    ops.Atan: elementwise(lambda op, a: math.atan(a)),
    ops.Sinh: elementwise(lambda op, a: math.sinh(a)),
    ops.Cosh: elementwise(lambda op, a: math.cosh(a)),
    ops.Asinh: elementwise(lambda op, a: math.asinh(a)),
    ops.Acosh: elementwise(lambda op, a: math.acosh(a)),
    ops.Atanh: elementwise(lambda op, a: math.atanh(a)),
    ops.Floor: elementwise(lambda op, a: math.floor(a)),
    ops.Ceil: elementwise(lambda op, a: math.ceil(a)),
    ops.Round: elementwise(lambda op, a: round(a)),
    ops.IsNaN: as_bool(elementwise(lambda op, a: a != a)),
    ops.IsInf: as_bool(elementwise(infinite)),
}

TORCH: dict[type, Callable[..., Any]] = {
    getattr(ops, name): lambda op, a, name=name: getattr(torch, name.lower())(a)
    for name in ("Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh")
}
