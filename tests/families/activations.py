"""Samples, meaning, PyTorch counterpart and refusals of the ops of activation functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from needle import ops
from tests.case import SHAPES, Array, Case, normal, torch


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def normal_cdf(x: Array) -> Array:
    return np.asarray([0.5 * math.erfc(-v / math.sqrt(2)) for v in x.reshape(-1)]).reshape(x.shape)


def gelu(op: Any, x: Array) -> Array:
    if op.approximate:
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return x * normal_cdf(x)


def gelu_slope(op: Any, x: Array) -> Array:
    if op.approximate:
        t = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
        inner = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
        return 0.5 * (1 + t) + 0.5 * x * (1 - t**2) * inner
    return normal_cdf(x) + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


slope = ops.PointwiseGradient
KINKED = [ops.ReLU(), ops.LeakyReLU(0.2), ops.Clip(-0.5, 0.5)]
SMOOTH = [ops.GELU(), ops.GELU(True), ops.SiLU(), ops.Softplus()]

SLOPES: dict[type, Callable[..., Any]] = {  # of the operand or, where the op keeps that, of the result
    ops.ReLU: lambda op, a: a > 0,
    ops.Tanh: lambda op, y: 1 - y**2,
    ops.Sigmoid: lambda op, y: y - y**2,
    ops.GELU: gelu_slope,
    ops.SiLU: lambda op, a: sigmoid(a) + a * sigmoid(a) * sigmoid(-a),
    ops.Softplus: lambda op, a: sigmoid(a),
    ops.LeakyReLU: lambda op, a: np.where(a > 0, 1, op.slope),
    ops.Clip: lambda op, a: (op.low <= a) & (a <= op.high),
}

CASES: list[Case] = [
    *(Case(op(), (normal(*s),)) for op in (ops.ReLU, ops.Tanh, ops.Sigmoid) for s in SHAPES),
    *(Case(slope(op), (normal(*s), normal(*s)), fixed=(1,)) for op in KINKED for s in SHAPES),
    *(Case(slope(op), (normal(*s), normal(*s))) for op in (ops.Tanh(), ops.Sigmoid()) for s in SHAPES),
    *(Case(op, (normal(*s) * 3,)) for op in SMOOTH for s in SHAPES),
    *(Case(slope(op), (normal(*s), normal(*s) * 3)) for op in SMOOTH for s in SHAPES),
    *(Case(op, (np.array([-30.0, -9.0, -1e-3, 0.0, 1e-3, 9.0, 30.0]),)) for op in SMOOTH),
    *(Case(ops.LeakyReLU(slope), (normal(*s),)) for slope in (0.01, 0.2, 0, -1.0) for s in SHAPES[:2]),
    *(Case(ops.LeakyReLU(), (normal(*s),)) for s in SHAPES[2:]),
]

MEANING: dict[type, Callable[..., Any]] = {
    ops.PointwiseGradient: lambda op, g, a: g * SLOPES[type(op.op)](op.op, a),
    ops.ReLU: lambda op, a: (a + abs(a)) / 2,
    ops.Tanh: lambda op, a: 1 - 2 / (np.exp(2 * a) + 1),
    ops.Sigmoid: lambda op, a: sigmoid(a),
    ops.GELU: gelu,
    ops.SiLU: lambda op, a: a * sigmoid(a),
    ops.Softplus: lambda op, a: np.logaddexp(0, a),
    ops.LeakyReLU: lambda op, a: a * np.where(a > 0, 1, op.slope),
}

TORCH: dict[type, Callable[..., Any]] = {
    ops.ReLU: lambda op, a: torch.relu(a),
    ops.Tanh: lambda op, a: torch.tanh(a),
    ops.Sigmoid: lambda op, a: torch.sigmoid(a),
    ops.GELU: lambda op, a: torch.nn.functional.gelu(a, approximate="tanh" if op.approximate else "none"),
    ops.SiLU: lambda op, a: torch.nn.functional.silu(a),
    ops.Softplus: lambda op, a: torch.nn.functional.softplus(a),
    ops.LeakyReLU: lambda op, a: torch.nn.functional.leaky_relu(a, op.slope),
}
