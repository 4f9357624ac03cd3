"""Samples, meaning, PyTorch counterpart and refusals of the ops of normalisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from needle import ops
from tests.case import Array, Case, Refusal, by_differences, normal, positive, torch


def batch_norm(op: Any, x: Array, weight: Array, bias: Array) -> tuple[Array, ...]:
    rows = x.reshape(-1, x.shape[-1])
    mean = np.array([sum(channel) / len(rows) for channel in rows.T])
    var = np.array([sum((channel - m) ** 2) / len(rows) for channel, m in zip(rows.T, mean, strict=True)])
    return batch_norm_inference(op, x, weight, bias, mean, var), mean, var


def batch_norm_inference(op: Any, x: Array, weight: Array, bias: Array, mean: Array, var: Array) -> Array:
    channel = range(x.shape[-1])
    columns = [(x[..., c] - mean[c]) / np.sqrt(var[c] + op.eps) * weight[c] + bias[c] for c in channel]
    return np.stack(columns, axis=-1)


def layer_norm(op: Any, x: Array, weight: Array, bias: Array) -> tuple[Array, ...]:
    y, mean, rstd = np.zeros_like(x), np.zeros((*x.shape[:-1], 1)), np.zeros((*x.shape[:-1], 1))
    for row in np.ndindex(*x.shape[:-1]):
        mean[row] = sum(x[row]) / len(x[row])
        rstd[row] = 1 / np.sqrt(sum((x[row] - mean[row]) ** 2) / len(x[row]) + op.eps)
        y[row] = (x[row] - mean[row]) * rstd[row] * weight + bias
    return y, mean, rstd


def batch_norm_gradient(op: Any, g: Array, x: Array, weight: Array, *_: Array) -> tuple[Array, ...]:
    return tuple(by_differences(lambda *a: batch_norm(op, *a), (g,), (x, weight, np.zeros_like(weight))))


def layer_norm_gradient(op: Any, g: Array, x: Array, weight: Array, *_: Array) -> tuple[Array, ...]:
    return tuple(by_differences(lambda *a: layer_norm(op, *a), (g,), (x, weight, np.zeros_like(weight))))


def torch_batch_norm(op: Any, x: Any, weight: Any, bias: Any) -> Any:
    rows = x.reshape(-1, x.shape[-1])
    return torch.nn.functional.batch_norm(rows, None, None, weight, bias, training=True, eps=op.eps).reshape(x.shape)


def torch_batch_norm_inference(op: Any, x: Any, weight: Any, bias: Any, mean: Any, var: Any) -> Any:
    rows = x.reshape(-1, x.shape[-1])
    y = (rows - mean) / torch.sqrt(var + op.eps) * weight + bias  # torch takes no gradient for given statistics
    return y.reshape(x.shape)


def _statistics(op: Any) -> Callable[..., tuple[Array, ...]]:
    """What a normalisation saves for its gradient (g, x, weight)."""
    return lambda g, x, weight: MEANING[type(op)](op, x, weight, weight)[1:]


CASES: list[Case] = [
    *(
        Case(op(1e-3), (normal(*shape), positive(shape[-1]), normal(shape[-1])), outputs=1)
        for op, shape in [
            (ops.BatchNorm, (5, 3)), (ops.BatchNorm, (2, 3, 2, 2)), (ops.BatchNorm, (6, 1)),
            (ops.LayerNorm, (3, 5)), (ops.LayerNorm, (2, 2, 4)), (ops.LayerNorm, (6,)),
        ]
    ),
    *(
        Case(gradient(1e-3), (normal(*s), normal(*s), positive(s[-1])), saved=_statistics(op(1e-3)))
        for op, gradient, s in [
            (ops.BatchNorm, ops.BatchNormGradient, (5, 3)), (ops.BatchNorm, ops.BatchNormGradient, (2, 3, 2)),
            (ops.LayerNorm, ops.LayerNormGradient, (3, 5)), (ops.LayerNorm, ops.LayerNormGradient, (2, 2, 4)),
        ]
    ),
    *(
        Case(ops.BatchNormInference(1e-3), (normal(*s), *(positive(s[-1]) for _ in range(4))))
        for s in ((5, 3), (2, 2, 2, 2))
    ),
]  # fmt: skip

MEANING: dict[type, Callable[..., Any]] = {
    ops.BatchNorm: batch_norm,
    ops.BatchNormGradient: batch_norm_gradient,
    ops.BatchNormInference: batch_norm_inference,
    ops.LayerNorm: layer_norm,
    ops.LayerNormGradient: layer_norm_gradient,
}

TORCH: dict[type, Callable[..., Any]] = {
    ops.BatchNorm: torch_batch_norm,
    ops.BatchNormInference: torch_batch_norm_inference,
    ops.LayerNorm: lambda op, x, w, b: torch.nn.functional.layer_norm(x, x.shape[-1:], w, b, op.eps),
}

REFUSALS: list[Refusal] = [
    (ops.BatchNorm(), ((3, 4), (3,), (4,)), r"\[batch_norm\] needs x \(\.\.\., C\) and the others \(C,\)"),
    (ops.BatchNorm(), ((0, 4), (4,), (4,)), r"\[batch_norm\] needs at least one row of at least one"),
    (ops.LayerNorm(), ((3, 0), (0,), (0,)), r"\[layer_norm\] needs at least one row of at least one"),
    (ops.LayerNorm(), ((3, 4), (4,), (3,)), r"\[layer_norm\] needs x \(\.\.\., C\)"),
]  # fmt: skip
