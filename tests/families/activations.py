"""Samples, meaning, PyTorch counterpart and refusals of the ops of activation functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from needle import ops
from tests.case import SHAPES, Array, Case, normal, torch


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


CASES: list[Case] = [
    *(Case(op(), (normal(*s),)) for op in (ops.ReLU, ops.Tanh, ops.Sigmoid) for s in SHAPES),
    *(Case(ops.ReLUGradient(), (normal(*shape), normal(*shape)), fixed=(1,)) for shape in SHAPES),
    *(Case(op(), (normal(*s), normal(*s))) for op in (ops.TanhGradient, ops.SigmoidGradient) for s in SHAPES),
]

MEANING: dict[type, Callable[..., Any]] = {
    ops.ReLU: lambda op, a: (a + abs(a)) / 2,
    ops.ReLUGradient: lambda op, g, a: g * (a > 0),
    ops.Tanh: lambda op, a: 1 - 2 / (np.exp(2 * a) + 1),
    ops.TanhGradient: lambda op, g, y: g - g * y**2,
    ops.Sigmoid: lambda op, a: sigmoid(a),
    ops.SigmoidGradient: lambda op, g, y: g * y - g * y**2,
}

TORCH: dict[type, Callable[..., Any]] = {
    ops.ReLU: lambda op, a: torch.relu(a),
    ops.Tanh: lambda op, a: torch.tanh(a),
    ops.Sigmoid: lambda op, a: torch.sigmoid(a),
}
