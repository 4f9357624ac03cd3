"""Samples, meaning, PyTorch counterpart and refusals of the ops of matrix products and convolution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from needle import ops
from tests.case import Array, Case, Refusal, gathered, normal, torch


def matmul(op: Any, a: Array, b: Array) -> Array:
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = np.broadcast_to(a, (*lead, *a.shape[-2:])), np.broadcast_to(b, (*lead, *b.shape[-2:]))
    return gathered((*lead, a.shape[-2], b.shape[-1]), lambda i: sum(a[i[:-1]] * b[(*i[:-2], slice(None), i[-1])]))


def windows(op: Any, x: tuple[int, ...], y: tuple[int, ...], kernel: int) -> Any:
    """(index of x, index of y, tap) of every product of a convolution that does not meet the padding."""
    for n, i, j in np.ndindex(*y[:3]):
        for u, v in np.ndindex(kernel, kernel):
            a, b = i * op.stride + u - op.padding, j * op.stride + v - op.padding
            if 0 <= a < x[1] and 0 <= b < x[2]:
                yield (n, a, b), (n, i, j), (u, v)


def conv_shape(op: Any, x: tuple[int, ...], kernel: int, channels: int) -> tuple[int, ...]:
    sizes = [(n + 2 * op.padding - kernel) // op.stride + 1 for n in x[1:3]]
    return (x[0], *sizes, channels)


def conv(op: Any, x: Array, w: Array) -> Array:
    out = np.zeros(conv_shape(op, x.shape, len(w), w.shape[3]))
    for here, there, tap in windows(op, x.shape, out.shape, len(w)):
        out[there] += x[here] @ w[tap]
    return out


def conv_input_gradient(op: Any, g: Array, w: Array) -> Array:
    out = np.zeros((len(g), op.height, op.width, w.shape[2]))
    for here, there, tap in windows(op, out.shape, g.shape, len(w)):
        out[here] += w[tap] @ g[there]
    return out


def conv_weight_gradient(op: Any, x: Array, g: Array) -> Array:
    out = np.zeros((op.kernel, op.kernel, x.shape[3], g.shape[3]))
    for here, there, tap in windows(op, x.shape, g.shape, op.kernel):
        out[tap] += np.outer(x[here], g[there])
    return out


def torch_conv(op: Any, x: Any, w: Any) -> Any:
    y = torch.nn.functional.conv2d(x.permute(0, 3, 1, 2), w.permute(3, 2, 0, 1), stride=op.stride, padding=op.padding)
    return y.permute(0, 2, 3, 1)


CASES: list[Case] = [
    *(
        Case(ops.MatMul(), (normal(*a), normal(*b)))
        for a, b in [
            ((3, 4), (4, 2)), ((1, 1), (1, 1)), ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5)), ((2, 3, 4), (2, 4, 5)),
            ((2, 1, 3, 4), (3, 4, 2)), ((1, 3, 4), (2, 4, 2)), ((0, 4), (4, 2)), ((2, 0), (0, 3)), ((2, 3, 0), (0, 2)),
        ]
    ),
    *(
        Case(ops.Conv(stride, padding), (normal(2, *size, 2), normal(k, k, 2, 3)))
        for size, k, stride, padding in [
            ((5, 5), 3, 1, 0), ((5, 5), 3, 1, 1), ((6, 5), 3, 2, 1), ((7, 6), 3, 3, 0), ((4, 4), 1, 1, 0),
            ((5, 4), 1, 2, 0), ((6, 6), 2, 2, 0), ((5, 6), 4, 3, 2), ((1, 1), 3, 1, 1), ((2, 2), 2, 1, 3),
        ]
    ),
    Case(ops.Conv(1, 1), (normal(0, 4, 4, 2), normal(3, 3, 2, 2))),
    Case(ops.ConvInputGradient(1, 1, 4, 5), (normal(2, 4, 5, 3), normal(3, 3, 2, 3))),
    Case(ops.ConvInputGradient(2, 1, 6, 5), (normal(2, 3, 3, 3), normal(3, 3, 2, 3))),
    Case(ops.ConvInputGradient(3, 0, 7, 8), (normal(1, 2, 2, 2), normal(3, 3, 1, 2))),
    Case(ops.ConvWeightGradient(1, 1, 3), (normal(2, 4, 5, 2), normal(2, 4, 5, 3))),
    Case(ops.ConvWeightGradient(2, 1, 3), (normal(2, 6, 5, 2), normal(2, 3, 3, 3))),
    Case(ops.ConvWeightGradient(3, 0, 3), (normal(1, 7, 8, 1), normal(1, 2, 2, 2))),
]  # fmt: skip

MEANING: dict[type, Callable[..., Any]] = {
    ops.MatMul: matmul,
    ops.Conv: conv,
    ops.ConvInputGradient: conv_input_gradient,
    ops.ConvWeightGradient: conv_weight_gradient,
}

TORCH: dict[type, Callable[..., Any]] = {
    ops.MatMul: lambda op, a, b: a @ b,
    ops.Conv: torch_conv,
}

REFUSALS: list[Refusal] = [
    (ops.MatMul(), ((2, 3), (2, 3)), r"\[matmul\] inner sizes must agree, got \(2, 3\) @ \(2, 3\)"),
    (ops.MatMul(), ((3,), (3, 2)), r"\[matmul\] needs at least 2 axes each, got \(3,\) @ \(3, 2\)"),
    (ops.MatMul(), ((2, 3, 4), (3, 4, 5)), r"\[matmul\] shapes must be equal or broadcast, got \(2,\) and \(3,\)"),
    (ops.Conv(), ((1, 4, 4, 2), (3, 3, 3, 1)), r"\[conv\] channels must agree"),
    (ops.Conv(), ((1, 2, 4, 2), (3, 3, 2, 1)), r"\[conv\] kernel 3 does not fit \(1, 2, 4, 2\) with padding 0"),
    (ops.Conv(0), ((1, 4, 4, 2), (3, 3, 2, 1)), r"\[conv\] needs kernel, stride >= 1, padding >= 0, got 3, 0, 0"),
    (ops.Conv(), ((4, 4, 2), (3, 3, 2, 1)), r"\[conv\] needs images \(N, H, W, C\) and a square weight"),
    (ops.ConvInputGradient(1, 0, 4, 4), ((1, 3, 3, 1), (3, 3, 2, 1)), r"\[conv_input_gradient\] needs g \(N, 2, 2"),
    (ops.ConvWeightGradient(1, 0, 3), ((1, 4, 4, 2), (1, 3, 3, 1)), r"\[conv_weight_gradient\] needs g \(1, 2, 2, C\)"),
]  # fmt: skip
