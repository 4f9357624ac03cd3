"""Samples, meaning, PyTorch counterpart and refusals of the ops of group and root-mean-square normalisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from needle import ops
from tests.case import Array, Case, Refusal, by_differences, normal, positive, torch


def group_norm(op: Any, x: Array, weight: Array, bias: Array) -> tuple[Array, ...]:
    y, mean, rstd = np.zeros_like(x), np.zeros((len(x), op.groups)), np.zeros((len(x), op.groups))
    width = x.shape[-1] // op.groups
    for n, group in np.ndindex(len(x), op.groups):
        channels = slice(group * width, (group + 1) * width)
        part = x[n, ..., channels]
        mean[n, group] = part.sum() / part.size
        rstd[n, group] = 1 / np.sqrt(((part - mean[n, group]) ** 2).sum() / part.size + op.eps)
        y[n, ..., channels] = (part - mean[n, group]) * rstd[n, group] * weight[channels] + bias[channels]
    return y, mean, rstd


def rms_norm(op: Any, x: Array, weight: Array) -> tuple[Array, ...]:
    y, rstd = np.zeros_like(x), np.zeros((*x.shape[:-1], 1))
    for row in np.ndindex(*x.shape[:-1]):
        rstd[row] = 1 / np.sqrt(sum(x[row] ** 2) / len(x[row]) + op.eps)
        y[row] = x[row] * rstd[row] * weight
    return y, rstd


def group_norm_gradient(op: Any, g: Array, x: Array, weight: Array, *_: Array) -> tuple[Array, ...]:
    return tuple(by_differences(lambda *a: group_norm(op, *a), (g,), (x, weight, np.zeros_like(weight))))


def rms_norm_gradient(op: Any, g: Array, x: Array, weight: Array, *_: Array) -> tuple[Array, ...]:
    return tuple(by_differences(lambda *a: rms_norm(op, *a), (g,), (x, weight)))


def torch_group_norm(op: Any, x: Any, weight: Any, bias: Any) -> Any:
    y = torch.nn.functional.group_norm(x.movedim(-1, 1), op.groups, weight, bias, op.eps)
    return y.movedim(1, -1)


GROUPED: list[Any] = [(2, (3, 2, 4)), (1, (2, 3, 2, 3)), (3, (2, 5, 3)), (2, (3, 6)), (6, (1, 2, 2, 6))]
ROWS: list[Any] = [(3, 5), (2, 2, 4), (6,), (4, 1)]

CASES: list[Case] = [
    *(Case(ops.GroupNorm(k, 1e-3), (normal(*s), positive(s[-1]), normal(s[-1])), outputs=1) for k, s in GROUPED),
    *(Case(ops.RMSNorm(1e-3), (normal(*s), positive(s[-1])), outputs=1) for s in ROWS),
    *(
        Case(
            ops.GroupNormGradient(k, 1e-3), (normal(*s), normal(*s), positive(s[-1])),
            saved=lambda g, x, weight, k=k: group_norm(ops.GroupNorm(k, 1e-3), x, weight, weight)[1:],
        )
        for k, s in GROUPED
    ),
    *(
        Case(
            ops.RMSNormGradient(1e-3), (normal(*s), normal(*s), positive(s[-1])),
            saved=lambda g, x, weight: rms_norm(ops.RMSNorm(1e-3), x, weight)[1:],
        )
        for s in ROWS
    ),
]  # fmt: skip

MEANING: dict[type, Callable[..., Any]] = {
    ops.GroupNorm: group_norm,
    ops.GroupNormGradient: group_norm_gradient,
    ops.RMSNorm: rms_norm,
    ops.RMSNormGradient: rms_norm_gradient,
}

TORCH: dict[type, Callable[..., Any]] = {
    ops.GroupNorm: torch_group_norm,
    ops.RMSNorm: lambda op, x, weight: torch.nn.functional.rms_norm(x, x.shape[-1:], weight, op.eps),
}

REFUSALS: list[Refusal] = [
    (ops.GroupNorm(3), ((2, 4, 4), (4,), (4,)), r"\[group_norm\] groups must divide the channels, got 3 for 4"),
    (ops.GroupNorm(0), ((2, 4, 4), (4,), (4,)), r"\[group_norm\] groups must divide the channels, got 0 for 4"),
    (ops.GroupNorm(2), ((2, 4, 4), (3,), (4,)), r"\[group_norm\] needs x \(N, \.\.\., C\) without empty axes, weight"),
    (ops.GroupNorm(1), ((0, 4), (4,), (4,)), r"\[group_norm\] needs x .*, got \(0, 4\), \(4,\), \(4,\)"),
    (ops.RMSNorm(), ((3, 4), (3,)), r"\[rms_norm\] needs x \(\.\.\., D\) and a weight \(D,\), got \(3, 4\) and \(3,\)"),
    (ops.RMSNorm(), ((0, 4), (4,)), r"\[rms_norm\] needs at least one row of at least one element, got \(0, 4\)"),
]
