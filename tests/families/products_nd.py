"""Samples, meaning and refusals of convolution along any number of axes, and of its two gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from needle import ops
from tests.case import Array, Case, Refusal, normal

SETTINGS: list[tuple[Any, tuple[int, ...], tuple[int, ...]]] = [  # (stride, padding, dilation, groups), x, w
    (((1,), ((1, 0),), (2,), 1), (2, 6, 2), (3, 2, 3)),
    (((2, 1), ((0, 1), (2, 1)), (1, 2), 1), (1, 5, 4, 2), (3, 2, 2, 2)),
    (((1, 2), ((0, 0), (1, 1)), (1, 1), 2), (1, 3, 4, 4), (1, 3, 2, 4)),
    (((1, 1, 2), ((0, 0), (1, 1), (0, 0)), (1, 1, 1), 1), (1, 2, 3, 3, 1), (2, 2, 1, 1, 2)),
]


def windows(op: Any, x: tuple[int, ...], w: tuple[int, ...]) -> tuple[int, ...]:
    rows = zip(x[1:-1], w[:-2], op.stride, op.padding, op.dilation, strict=True)
    return tuple((n + a + b - (k - 1) * d - 1) // s + 1 for n, k, s, (a, b), d in rows)


def pairs(op: Any, x: tuple[int, ...], w: tuple[int, ...], out: tuple[int, ...]) -> Any:
    """(index of y, index of x, index of w) of every product of the definition."""
    inputs, outputs = x[-1] // op.groups, w[-1] // op.groups
    for n, o in np.ndindex(x[0], w[-1]):
        for i in np.ndindex(*out):
            for u in np.ndindex(*w[:-2]):
                rows = zip(i, u, op.stride, op.dilation, op.padding, strict=True)
                at = tuple(a * s + k * d - p for a, k, s, d, (p, _) in rows)
                if all(0 <= a < m for a, m in zip(at, x[1:-1], strict=True)):
                    for c in range(inputs):
                        yield (n, *i, o), (n, *at, o // outputs * inputs + c), (*u, c, o)


def conv(op: Any, x: Array, w: Array) -> Array:
    out = windows(op, x.shape, w.shape)
    y = np.zeros((x.shape[0], *out, w.shape[-1]))
    for a, b, c in pairs(op, x.shape, w.shape, out):
        y[a] += x[b] * w[c]
    return y


def input_gradient(op: Any, g: Array, w: Array) -> Array:
    dx = np.zeros((g.shape[0], *op.size, w.shape[-2] * op.groups))
    for a, b, c in pairs(op, dx.shape, w.shape, g.shape[1:-1]):
        dx[b] += g[a] * w[c]
    return dx


def weight_gradient(op: Any, x: Array, g: Array) -> Array:
    dw = np.zeros((*op.kernel, x.shape[-1] // op.groups, g.shape[-1]))
    for a, b, c in pairs(op, x.shape, dw.shape, g.shape[1:-1]):
        dw[c] += g[a] * x[b]
    return dw


def gradient_cases(settings: Any, x: tuple[int, ...], w: tuple[int, ...]) -> list[Case]:
    out = (x[0], *windows(ops.ConvND(*settings), x, w), w[-1])
    return [
        Case(ops.ConvNDInputGradient(*settings, x[1:-1]), (normal(*out), normal(*w))),
        Case(ops.ConvNDWeightGradient(*settings, w[:-2]), (normal(*x), normal(*out))),
    ]


CASES: list[Case] = [
    *(Case(ops.ConvND(*s), (normal(*x), normal(*w))) for s, x, w in SETTINGS),
    *(case for row in SETTINGS[:3] for case in gradient_cases(*row)),
]

MEANING: dict[type, Callable[..., Any]] = {
    ops.ConvND: conv, ops.ConvNDInputGradient: input_gradient, ops.ConvNDWeightGradient: weight_gradient,
}  # fmt: skip

PLAIN = (1,), ((0, 0),), (1,), 1
REFUSALS: list[Refusal] = [
    (ops.ConvND(*PLAIN), ((1, 4, 2), (3, 3, 2)), r"\[conv_nd\] needs x \(N, ..., C\) and w \(..., C / groups, O\)"),
    (ops.ConvND(*PLAIN), ((1, 2, 2), (3, 2, 2)), r"\[conv_nd\] no window fits, got"),
    (ops.ConvND(*PLAIN), ((1, 2, 2, 2), (1, 1, 2, 2)), r"\[conv_nd\] needs x \(N, ..., C\) and a window, stride"),
    (ops.ConvNDInputGradient(*PLAIN, (4,)), ((1, 3, 2), (3, 1, 2)), r"\[conv_nd_input_gradient\] needs g \(N, \(2,\)"),
    (ops.ConvNDWeightGradient(*PLAIN, (3,)), ((1, 4, 2), (1, 3, 2)), r"\[conv_nd_weight_gradient\] needs g \(1,"),
]
