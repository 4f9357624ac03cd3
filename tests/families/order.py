"""Samples, meaning, PyTorch counterpart and refusals of places of extrema, largest elements and running sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from needle import ops
from tests.case import Array, Case, Refusal, normal, torch

TIES = np.array([[3.0, 1.0, 3.0, 1.0], [2.0, 2.0, 2.0, 2.0]])
SETTINGS = [(0, False, False), (1, True, False), (-1, False, True), (0, True, True)]


def by_row(f: Callable[[Any, list[float]], Any], axis: int, x: Array) -> Array:
    """f of each list of elements along an axis, in its place."""
    moved = np.moveaxis(x, axis, -1)
    rows = [f(None, row.tolist()) for row in moved.reshape(-1, moved.shape[-1])]
    return np.moveaxis(np.array(rows).reshape(*moved.shape[:-1], -1), -1, axis)


def place(best: Callable[..., float]) -> Callable[..., Any]:
    def meaning(op: Any, x: Array) -> Array:
        def find(_: Any, row: list[float]) -> list[int]:
            places = [i for i, v in enumerate(row) if v == best(row)]
            return [places[-1] if op.last else places[0]]

        y = by_row(find, op.axis, x)
        return y if op.keepdims else y.reshape([n for i, n in enumerate(x.shape) if i != op.axis % x.ndim])

    return meaning


def cumsum(op: Any, x: Array) -> Array:
    def run(_: Any, row: list[float]) -> list[float]:
        row = row[::-1] if op.reverse else row
        sums = [sum(row[: i + (0 if op.exclusive else 1)]) for i in range(len(row))]
        return sums[::-1] if op.reverse else sums

    return by_row(run, op.axis, x)


def torch_cumsum(op: Any, x: Any) -> Any:
    y = torch.cumsum(x, op.axis)
    return y - x if op.exclusive else y


def topk(op: Any, x: Array) -> tuple[Array, Array]:
    def order(row: list[float]) -> list[int]:
        return sorted(range(len(row)), key=lambda i: (-row[i] if op.largest else row[i], i))[: op.k]

    return (by_row(lambda _, row: [row[i] for i in order(row)], op.axis, x),
            by_row(lambda _, row: order(row), op.axis, x))  # fmt: skip


CASES: list[Case] = [
    *(Case(op(*s), (x,), fixed=(0,)) for op in (ops.ArgMax, ops.ArgMin) for s in SETTINGS for x in (TIES, normal(3, 4))
      ),
    Case(ops.ArgMax(), (normal(1),), fixed=(0,)),
    *(Case(ops.CumSum(*s), (normal(3, 4),)) for s in SETTINGS),
    Case(ops.CumSum(1), (normal(2, 3, 2),)),
    *(Case(ops.TopK(2, axis, largest), (normal(3, 4),), outputs=1) for axis in (0, 1, -1) for largest in (True, False)),
    Case(ops.TopK(3, 1), (normal(2, 3),), outputs=1),
]

MEANING: dict[type, Callable[..., Any]] = {
    ops.ArgMax: place(max), ops.ArgMin: place(min), ops.CumSum: cumsum, ops.TopK: topk,
}  # fmt: skip

TORCH: dict[type, Callable[..., Any]] = {
    ops.CumSum: lambda op, x: torch_cumsum(op, x.flip(op.axis)).flip(op.axis) if op.reverse else torch_cumsum(op, x),
}

REFUSALS: list[Refusal] = [
    (ops.ArgMax(2), ((2, 3),), r"\[arg\] axis must be in -2..1 for 2 axes, got 2"),
    (ops.ArgMin(0), ((0, 3),), r"\[arg\] needs at least one element along axis 0, got \(0, 3\)"),
    (ops.CumSum(1), ((2,),), r"\[cumsum\] axis must be in -1..0 for 1 axes, got 1"),
    (ops.TopK(4), ((2, 3),), r"\[topk\] k must be in 0..3, got 4"),
]
