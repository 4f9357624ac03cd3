"""Samples, meaning, PyTorch counterpart and refusals of cross entropy and the squared difference."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from needle import ops
from tests.case import SHAPES, Array, Case, Refusal, by_differences, ids, normal, torch
from tests.families.elementary import PAIRS, elementwise

LABELS = np.array([2.0, -100.0, 0.0, 2.0])
OPTIONS = [*product((0.0, 0.1), (None, -100, 2), ("mean", "sum", "none"))]


def cross_entropy(op: Any, logits: Array, labels: Array) -> Array:
    classes, losses, counted = logits.shape[1], [], 0
    for row, label in zip(logits, labels, strict=True):
        probability, loss = np.exp(row) / np.exp(row).sum(), 0.0
        if label != op.ignore_index:
            counted += 1
            for k in range(classes):
                target = (1 - op.smoothing) * (k == label) + op.smoothing / classes
                loss -= target * np.log(probability[k])
        losses.append(loss)
    if op.reduction == "none":
        return np.asarray(losses)
    return np.asarray(sum(losses) / (max(counted, 1) if op.reduction == "mean" else 1))


def cross_entropy_gradient(op: Any, g: Array, logits: Array, labels: Array) -> Array:
    one = g if op.reduction == "none" else g.reshape(())
    return by_differences(lambda x: cross_entropy(op, x, labels), (one,), (logits,))[0]


def labels(ignored: int | None) -> Array:
    """Labels of four rows in three classes, some of them ignored."""
    return LABELS if ignored == -100 else ids(3, 4)


CASES: list[Case] = [
    *(Case(ops.CrossEntropy(*options), (normal(4, 3), labels(options[1])), fixed=(1,)) for options in OPTIONS),
    *(Case(ops.CrossEntropy(0.1, 1, how), (normal(3, 2), np.ones(3)), fixed=(1,)) for how in ("mean", "sum", "none")),
    *(
        Case(ops.CrossEntropyGradient(s, i, r), (normal(4 if r == "none" else 1), normal(4, 3), labels(i)), fixed=(2,))
        for s, i, r in OPTIONS
    ),
    *(Case(ops.Huber(delta), (normal(*s),)) for delta in (0.7, 1) for s in SHAPES),
    *(Case(ops.SquaredDifference(), (normal(*a), normal(*b))) for a, b in PAIRS),
    *(Case(ops.SquaredDifferenceGradient(), (normal(*s), normal(*s), normal(*s))) for s in ((3, 4), (), (0, 2))),
]

def huber(op: Any, d: float) -> float:
    return d * d / 2 if abs(d) <= op.delta else op.delta * (abs(d) - op.delta / 2)


MEANING: dict[type, Callable[..., Any]] = {
    ops.CrossEntropy: cross_entropy,
    ops.CrossEntropyGradient: cross_entropy_gradient,
    ops.Huber: elementwise(huber),
    ops.SquaredDifference: elementwise(lambda op, a, b: a * a - 2 * a * b + b * b),
    ops.SquaredDifferenceGradient: elementwise(lambda op, g, a, b: 2 * g * a - 2 * g * b),
}


def torch_cross_entropy(op: Any, x: Any, labels: Any) -> Any:
    options = {} if op.ignore_index is None else {"ignore_index": op.ignore_index}
    y = torch.nn.functional.cross_entropy(
        x, labels.long(), label_smoothing=op.smoothing, reduction=op.reduction, **options
    )
    return torch.nan_to_num(y)  # where all rows are ignored torch's mean is NaN, ours 0


TORCH: dict[type, Callable[..., Any]] = {
    ops.CrossEntropy: torch_cross_entropy,
    ops.Huber: lambda op, d: torch.nn.functional.huber_loss(d, d * 0, reduction="none", delta=op.delta),
    ops.SquaredDifference: lambda op, a, b: (a - b) ** 2,
}

REFUSALS: list[Refusal] = [
    (ops.CrossEntropy(), ((0, 4), (0,)), r"\[cross_entropy\] needs at least one row and one class, got \(0, 4\)"),
    (ops.CrossEntropyGradient(), ((3,), (3, 4), (3,)), r"\[cross_entropy_gradient\] needs g of the shape of the loss"),
    (ops.CrossEntropy(), ((3, 4), (4,)), r"\[cross_entropy\] needs logits \(N, C\), labels \(N,\), got \(3, 4\)"),
    (ops.SquaredDifference(), ((3,), (4,)), r"\[squared_difference\] shapes must be equal or broadcast"),
]
