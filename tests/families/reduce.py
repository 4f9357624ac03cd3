"""Samples, meaning, PyTorch counterpart and refusals of mean, variance, maximum and minimum."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from needle import BACKEND, ops
from tests.case import Array, Case, Refusal, axes_of, normal, torch

AXES: list[Any] = [None, 1, -1, (0,), (0, 1), (2, 0), (0, 1, 2), ()]
TIED = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0], [-1.0, -5.0, -5.0]])


def reduced(axes: Any, keepdims: bool, x: Array, f: Callable[[list[float]], float]) -> Array:
    """f of the elements along the axes, for every index of the others."""
    chosen = axes_of(axes, x.ndim)
    shape = tuple(1 if i in chosen else n for i, n in enumerate(x.shape))
    groups: dict[tuple[int, ...], list[float]] = {index: [] for index in np.ndindex(*shape)}
    for index in np.ndindex(*x.shape):
        groups[tuple(0 if i in chosen else k for i, k in enumerate(index))].append(float(x[index]))
    values = np.asarray([f(groups[index]) for index in np.ndindex(*shape)], dtype=float)
    return values.reshape(shape if keepdims else [n for i, n in enumerate(shape) if i not in chosen])


def meaning(f: Callable[[list[float]], float]) -> Callable[..., Array]:
    return lambda op, x: reduced(op.axes, op.keepdims, x, f)


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else np.nan


def var(op: Any, x: Array) -> Array:
    def spread(values: list[float]) -> float:
        left, middle = len(values) - op.correction, mean(values)
        return sum((v - middle) ** 2 for v in values) / left if left > 0 else np.nan

    return reduced(op.axes, op.keepdims, x, spread)


def extremum_gradient(op: Any, g: Array, x: Array, y: Array) -> Array:
    chosen = axes_of(op.axes, x.ndim)
    shape = [1 if i in chosen else n for i, n in enumerate(x.shape)]
    g, y = g.reshape(shape), y.reshape(shape)
    count = reduced(op.axes, True, (x == y).astype(float), sum)
    return np.broadcast_to(g / count, x.shape) * (x == y)


def gradient_case(axes: Any, keepdims: bool, x: Array) -> Case:
    """The gradient of a maximum, which is saved."""

    def maximum(g: Array, x: Array) -> tuple[Array]:
        y = reduced(axes, keepdims, x, max)
        return (y.reshape(g.shape),)

    shape = reduced(axes, keepdims, x, max).shape
    g = normal(*(shape if shape or BACKEND == "np" or axes is not None else (1,)))
    return Case(ops.ExtremumGradient(axes), (g, x), fixed=(1,), saved=maximum)


EXTREMA = (ops.Max, ops.Min)
REDUCTIONS = (ops.Mean, ops.Var, *EXTREMA)

CASES: list[Case] = [
    *(Case(op(axes, keep), (normal(2, 3, 4),)) for op in REDUCTIONS for axes in AXES for keep in (False, True)),
    *(Case(op(), (normal(),)) for op in REDUCTIONS),
    *(Case(op(axes), (normal(0, 3),)) for op in REDUCTIONS for axes in (1, (1,))),
    *(Case(op(axes), (normal(0, 3),), fixed=(0,)) for op in (ops.Mean, ops.Var) for axes in (None, 0)),
    *(Case(ops.Var(axes, False, correction), (normal(3, 5),)) for axes in (None, 0, 1) for correction in (1, 0.5)),
    Case(ops.Var((1,), False, 1), (normal(3, 1),), fixed=(0,)),
    Case(ops.Var((0,)), (normal(6, 2) + 100,)),
    *(Case(op(axes), (TIED,), fixed=(0,)) for op in EXTREMA for axes in (None, 0, 1)),
    *(gradient_case(axes, keep, normal(2, 3, 4)) for axes in AXES for keep in (False, True)),
    *(gradient_case(axes, False, TIED) for axes in (None, 0, 1)),
]

MEANING: dict[type, Callable[..., Any]] = {
    ops.Mean: meaning(mean),
    ops.Var: var,
    ops.Max: meaning(lambda values: sorted(values)[-1]),
    ops.Min: meaning(lambda values: sorted(values)[0]),
    ops.ExtremumGradient: extremum_gradient,
}


def torch_reduced(name: str) -> Callable[..., Any]:
    """torch's reduction of this name, over all axes where the op names none."""

    def run(op: Any, x: Any) -> Any:
        axes = tuple(range(x.ndim)) if op.axes is None else op.axes
        options = {"correction": op.correction} if name == "var" else {}
        if axes == () and x.ndim:  # torch takes no axes for all of them
            return x * 1 if name != "var" else x * 0
        with warnings.catch_warnings():  # torch has one about variances of nothing
            warnings.simplefilter("ignore")
            return getattr(torch, name)(x, axes, keepdim=op.keepdims, **options)

    return run


TORCH: dict[type, Callable[..., Any]] = {
    ops.Mean: torch_reduced("mean"),
    ops.Var: torch_reduced("var"),
    ops.Max: torch_reduced("amax"),
    ops.Min: torch_reduced("amin"),
}

REFUSALS: list[Refusal] = [
    (ops.Mean(2), ((2, 3),), r"\[mean\] axis must be in -2\.\.1 for 2 axes, got 2"),
    (ops.Var((0, 0)), ((2, 3),), r"\[var\] axes must differ"),
    (ops.Max(1), ((2, 0),), r"\[max\] needs at least one element along axes 1, got \(2, 0\)"),
    (ops.Min(), ((2, 0),), r"\[min\] needs at least one element along axes None, got \(2, 0\)"),
    (ops.ExtremumGradient(0), ((2,), (2, 3), (3,)), r"\[extremum_gradient\] g and y must have one shape"),
]
