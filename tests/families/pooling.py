"""Samples, meaning, PyTorch counterpart and refusals of the ops of pooling."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from needle import ops
from needle.backend_ndarray.bands import Bands, adaptive, sliding
from tests.case import Array, Case, Refusal, normal, torch


def spans(op: Any, size: int, axis: int) -> list[range]:
    """What each output along an axis of the image reads: 0 rows, 1 columns."""
    if hasattr(op, "kernel"):
        k, s, p = op.kernel[axis], op.stride[axis], op.padding[axis]
        corners = [i * s - p for i in range((size + 2 * p - k) // s + 1)]
        return [range(max(0, at), min(size, at + k)) for at in corners]
    if hasattr(op, "size"):
        share = size / op.size[axis]
        return [range(int(np.floor(i * share)), int(np.ceil((i + 1) * share - 1e-9))) for i in range(op.size[axis])]
    bands = (op.rows, op.columns)[axis]
    return [range(at, at + len(weights)) for at, weights in zip(bands.first, bands.weights, strict=True)]


def windows(op: Any, x: Array) -> Iterator[tuple[Any, list[tuple[int, ...]]]]:
    """(index of y, indices of x in its window) of every output, by rows."""
    rows, columns = spans(op, x.shape[1], 0), spans(op, x.shape[2], 1)
    for n, i, j, c in np.ndindex(len(x), len(rows), len(columns), x.shape[3]):
        yield (n, i, j, c), [(n, a, b, c) for a in rows[i] for b in columns[j]]


def output(op: Any, x: Array) -> Array:
    return np.zeros((len(x), len(spans(op, x.shape[1], 0)), len(spans(op, x.shape[2], 1)), x.shape[3]))


def max_pool(op: Any, x: Array) -> Array:
    return max_pool_pick(op, x, x)


def max_pool_pick(op: Any, u: Array, x: Array) -> Array:
    y = output(op, x)
    for there, window in windows(op, x):
        y[there] = u[max(window, key=lambda at: x[at])]  # Python's max is the first of equals
    return y


def max_pool_gradient(op: Any, g: Array, x: Array) -> Array:
    dx = np.zeros(x.shape)
    for there, window in windows(op, x):
        dx[max(window, key=lambda at: x[at])] += g[there]
    return dx


def avg_pool(op: Any, x: Array) -> Array:
    y = output(op, x)
    for there, window in windows(op, x):
        y[there] = sum(x[at] for at in window) / (op.kernel[0] * op.kernel[1])
    return y


def adaptive_avg_pool(op: Any, x: Array) -> Array:
    y = output(op, x)
    for there, window in windows(op, x):
        y[there] = np.mean([x[at] for at in window])
    return y


def matrix(bands: Bands) -> Array:
    dense = np.zeros((bands.outputs, bands.size))
    for row, first, weights in zip(dense, bands.first, bands.weights, strict=True):
        row[first : first + len(weights)] = weights
    return dense


def resample(op: Any, x: Array) -> Array:
    return np.einsum("ia,jb,nabc->nijc", matrix(op.rows), matrix(op.columns), x)


def nchw(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of torch's on channels-last images."""
    return lambda op, x: function(op, x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


# image, kernel, stride, padding
SLIDING: list[Any] = [
    ((4, 6), (2, 2), (2, 2), (0, 0)), ((5, 6), (2, 2), (2, 2), (0, 0)), ((5, 5), (3, 3), (1, 1), (1, 1)),
    ((7, 4), (3, 2), (2, 3), (1, 0)), ((1, 1), (1, 1), (1, 1), (0, 0)), ((1, 2), (2, 3), (1, 2), (1, 1)),
    ((6, 7), (2, 1), (3, 3), (0, 0)),
]  # fmt: skip
ADAPTIVE: list[Any] = [((5, 7), (2, 3)), ((4, 4), (1, 1)), ((3, 2), (5, 4)), ((1, 6), (1, 3))]
PAIRED = [
    *((sliding(5, 3, 2, 1), sliding(4, 2, 1, 0)), (sliding(7, 2, 3, 0), sliding(3, 3, 1, 1))),
    (adaptive(5, 3), adaptive(2, 3)),
]

CASES: list[Case] = [
    *(Case(op(k, s, p), (normal(2, *size, 3),)) for op in (ops.MaxPool, ops.AvgPool) for size, k, s, p in SLIDING),
    *(
        Case(op(size), (normal(2, *image, 2),))
        for op in (ops.AdaptiveMaxPool, ops.AdaptiveAvgPool)
        for image, size in ADAPTIVE
    ),
    *(Case(op((2, 2), (2, 2)), (normal(0, 4, 4, 2),)) for op in (ops.MaxPool, ops.AvgPool)),
    *(Case(op((2, 2)), (normal(0, 3, 4, 2),)) for op in (ops.AdaptiveMaxPool, ops.AdaptiveAvgPool)),
    *(
        Case(ops.MaxPoolGradient(v, h), (normal(2, v.outputs, h.outputs, 2), normal(2, v.size, h.size, 2)), fixed=(1,))
        for v, h in PAIRED
    ),
    *(Case(ops.MaxPoolPick(v, h), tuple(normal(2, v.size, h.size, 2) for _ in "ux"), fixed=(1,)) for v, h in PAIRED),
    *(Case(ops.Resample(v, h), (normal(2, v.size, h.size, 2),)) for v, h in PAIRED),
    *(Case(ops.Resample(v.transposed, h.transposed), (normal(2, v.outputs, h.outputs, 2),)) for v, h in PAIRED),
]

MEANING: dict[type, Callable[..., Any]] = {
    ops.MaxPool: max_pool,
    ops.AdaptiveMaxPool: max_pool,
    ops.MaxPoolPick: max_pool_pick,
    ops.MaxPoolGradient: max_pool_gradient,
    ops.AvgPool: avg_pool,
    ops.AdaptiveAvgPool: adaptive_avg_pool,
    ops.Resample: resample,
}

TORCH: dict[type, Callable[..., Any]] = {
    ops.MaxPool: nchw(lambda op, x: torch.nn.functional.max_pool2d(x, op.kernel, op.stride, op.padding)),
    ops.AvgPool: nchw(lambda op, x: torch.nn.functional.avg_pool2d(x, op.kernel, op.stride, op.padding)),
    ops.AdaptiveMaxPool: nchw(lambda op, x: torch.nn.functional.adaptive_max_pool2d(x, op.size)),
    ops.AdaptiveAvgPool: nchw(lambda op, x: torch.nn.functional.adaptive_avg_pool2d(x, op.size)),
}

REFUSALS: list[Refusal] = [
    (ops.MaxPool((2, 2), (2, 2)), ((4, 4, 2),), r"\[max_pool\] needs images \(N, H, W, C\), got"),
    (ops.MaxPool((3, 3), (1, 1)), ((1, 2, 4, 2),), r"\[max_pool\] kernel \(3, 3\) does not fit \(1, 2, 4, 2\) with"),
    (ops.MaxPool((2, 2), (1, 0)), ((1, 4, 4, 2),), r"\[max_pool\] needs kernel and stride of 1 or more"),
    (ops.AvgPool((3, 2), (1, 1), (1, 2)), ((1, 4, 4, 2),), r"\[avg_pool\] padding must be at most half the kernel"),
    (ops.AdaptiveMaxPool((0, 2)), ((1, 4, 4, 2),), r"\[adaptive_max_pool\] needs a size of 1 or more each way"),
    (ops.AdaptiveAvgPool((1, 1)), ((1, 0, 4, 2),), r"\[adaptive_avg_pool\] needs images \(N, H, W, C\) with H, W > 0"),
    (ops.Resample(*PAIRED[0]), ((1, 4, 4, 2),), r"\[resample\] needs images \(N, 5, 4, C\), got \(1, 4, 4, 2\)"),
    (ops.MaxPoolGradient(*PAIRED[0]), ((1, 3, 2, 1), (1, 5, 4, 1)), r"\[max_pool_gradient\] needs g \(1, 3, 3, 1\)"),
    (ops.MaxPoolPick(*PAIRED[0]), ((1, 5, 4, 2), (1, 5, 4, 1)), r"\[max_pool_pick\] needs two maps of one shape"),
]
