"""Samples, meaning, PyTorch counterpart and refusals of softmax and its relatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from needle import ops
from tests.case import Array, Case, Refusal, axes_of, normal, torch


def log_sum_exp(op: Any, x: Array) -> Array:
    top = x.max() if x.size else 0.0
    return np.log(np.exp(x - top).sum(axis=None if op.axes is None else tuple(axes_of(op.axes, x.ndim)))) + top


def softmax(_: Any, x: Array) -> Array:
    e = np.exp(x - x.max()) if x.size else x
    return e / e.sum(axis=-1, keepdims=True)


def softmax_gradient(_: Any, g: Array, y: Array) -> Array:
    out = np.zeros_like(y)
    for row in np.ndindex(*y.shape[:-1]):
        out[row] = (np.diag(y[row]) - np.outer(y[row], y[row])) @ g[row]  # the Jacobian of softmax
    return out


def logsoftmax_gradient(_: Any, g: Array, y: Array) -> Array:
    out = np.zeros_like(y)
    for row in np.ndindex(*y.shape[:-1]):
        out[row] = (np.eye(y.shape[-1]) - np.outer(np.exp(y[row]), np.ones(y.shape[-1]))) @ g[row]
    return out


def reduced(function: Callable[..., Any]) -> Callable[..., Any]:
    """A reduction over the op's axes; over all of them where it names none."""
    return lambda op, x: function(x, tuple(range(x.ndim)) if op.axes is None else op.axes)


CASES: list[Case] = [
    *(Case(ops.LogSumExp(axes), (normal(2, 3, 4),)) for axes in (None, 1, -1, (0,), (0, 2), (0, 1, 2))),
    Case(ops.LogSumExp(), (normal(),)),
    Case(ops.LogSumExp((1,)), (normal(0, 3),)),
    *(Case(op(), (normal(*s),)) for op in (ops.Softmax, ops.LogSoftmax) for s in ((3, 4), (2, 3, 5), (4,), (0, 3))),
    *(Case(ops.SoftmaxGradient(), (normal(*s), softmax(None, normal(*s)))) for s in ((3, 4), (2, 2, 3), (0, 2))),
    *(Case(ops.LogSoftmaxGradient(), (normal(*s), np.log(softmax(None, normal(*s))))) for s in ((3, 4), (2, 2, 3))),
]

MEANING: dict[type, Callable[..., Any]] = {
    ops.LogSumExp: log_sum_exp,
    ops.Softmax: softmax,
    ops.SoftmaxGradient: softmax_gradient,
    ops.LogSoftmax: lambda op, x: np.log(softmax(op, x)),
    ops.LogSoftmaxGradient: logsoftmax_gradient,
}

TORCH: dict[type, Callable[..., Any]] = {
    ops.LogSumExp: reduced(lambda x, axes: x.logsumexp(axes) if axes != () else x * 1),
    ops.Softmax: lambda op, x: torch.softmax(x, -1),
    ops.LogSoftmax: lambda op, x: torch.log_softmax(x, -1),
}

REFUSALS: list[Refusal] = [
    (ops.LogSumExp((1,)), ((2, 0),), r"\[logsumexp\] needs at least one element along axes \(1,\), got \(2, 0\)"),
    (ops.Softmax(), ((),), r"\[softmax\] needs at least one element along the last axis, got \(\)"),
    (ops.LogSoftmax(), ((3, 0),), r"\[logsoftmax\] needs at least one element along the last axis, got \(3, 0\)"),
]  # fmt: skip
