"""Softmax, log-softmax, log-sum-exp and cross entropy on NDArrays, by the compiled kernels."""

from __future__ import annotations

import math
from collections.abc import Callable
from math import prod

from needle.errors import ShapeError

from .. import ndarray_backend_cpu as kernels
from ..ndarray import NDArray
from ..plain.softmax import out_of_range


def _rows(where: str, x: NDArray) -> tuple[int, int]:
    """x as rows: the last axis is the columns."""
    if not x.shape or x.shape[-1] == 0:
        raise ShapeError(f"[{where}] needs a last axis of at least one element, got {x.shape}")
    return prod(x.shape[:-1]), x.shape[-1]


def _map(where: str, kernel: Callable[..., None], x: NDArray) -> NDArray:
    rows, cols = _rows(where, x)
    y = NDArray.make(x.shape, device=x.device)
    kernel(x.compact()._handle, y._handle, rows, cols)
    return y


def _gradient(where: str, kernel: Callable[..., None], g: NDArray, y: NDArray) -> NDArray:
    rows, cols = _rows(where, y)
    dx = NDArray.make(y.shape, device=y.device)
    kernel(g.compact()._handle, y.compact()._handle, dx._handle, rows, cols)
    return dx


def softmax(x: NDArray) -> NDArray:
    """y = exp(x) / sum exp(x) over the last axis."""
    return _map("softmax", kernels.softmax, x)


def softmax_gradient(g: NDArray, y: NDArray) -> NDArray:
    """dx = y (g - sum(g y)) over the last axis, y being the softmax."""
    return _gradient("softmax_gradient", kernels.softmax_gradient, g, y)


def logsoftmax(x: NDArray) -> NDArray:
    """y = x - log sum exp(x) over the last axis."""
    return _map("logsoftmax", kernels.logsoftmax, x)


def logsoftmax_gradient(g: NDArray, y: NDArray) -> NDArray:
    """dx = g - exp(y) sum(g) over the last axis, y being the log-softmax."""
    return _gradient("logsoftmax_gradient", kernels.logsoftmax_gradient, g, y)


def logsumexp(x: NDArray, axes: int | tuple[int, ...] | None = None) -> NDArray:
    """y = log sum exp(x) over the axes (all by default), which go away; -inf where all is -inf."""
    listed = range(x.ndim) if axes is None else (axes,) if isinstance(axes, int) else axes
    if any(not -x.ndim <= axis < x.ndim for axis in listed):
        raise ShapeError(f"[logsumexp] axes must lie in 0..{x.ndim - 1}, got {axes}")
    reduced = {axis % x.ndim for axis in listed}
    kept = [axis for axis in range(x.ndim) if axis not in reduced]
    cols = prod(x.shape[axis] for axis in reduced)
    if cols == 0:
        raise ShapeError(f"[logsumexp] needs at least one element along {axes}, got {x.shape}")
    rows_last = x.permute([*kept, *sorted(reduced)]).compact()
    y = NDArray.make([x.shape[axis] for axis in kept] or (1,), device=x.device)
    kernels.logsumexp(rows_last._handle, y._handle, y.size, cols)
    return y


def cross_entropy(
    logits: NDArray, labels: NDArray, smoothing: float = 0.0, ignored: float | None = None, reduction: str = "mean"
) -> NDArray:
    """loss = log sum exp(x) - (1 - s) x[label] - s mean(x) of each row, and 0 where the label is `ignored`.

    logits (N, C), labels (N,) whole numbers; s is the label smoothing. The result has shape (1,), or (N,) with the
    reduction "none"; "mean" is over the rows that are not ignored, 0 if all are. Raises IndexRangeError for any other
    label outside 0..C-1.
    """
    rows, cols = _check(logits, labels)
    labels = labels.astype("float32").compact()
    loss = NDArray.make((rows,) if reduction == "none" else (1,), device=logits.device)
    options = (smoothing, math.nan if ignored is None else ignored, reduction == "mean")
    bad = kernels.cross_entropy(logits.compact()._handle, labels._handle, loss._handle, rows, cols, *options)
    if bad >= 0:
        raise out_of_range("cross_entropy", "labels", cols, labels.numpy()[bad], "row", bad)
    return loss


def cross_entropy_gradient(
    g: NDArray, logits: NDArray, labels: NDArray, smoothing: float = 0.0, ignored: float | None = None,
    reduction: str = "mean",
) -> NDArray:  # fmt: skip
    """dlogits = g / N (softmax(x) - (1 - s) onehot(label) - s / C), and 0 in the rows that are ignored.

    g is the gradient of the loss; N is 1 unless the reduction is "mean".
    """
    rows, cols = _check(logits, labels)
    labels, dx = labels.astype("float32").compact(), NDArray.make(logits.shape, device=logits.device)
    options = (smoothing, math.nan if ignored is None else ignored, reduction == "mean")
    given = (g.compact()._handle, logits.compact()._handle, labels._handle)
    bad = kernels.cross_entropy_gradient(*given, dx._handle, rows, cols, *options)
    if bad >= 0:
        raise out_of_range("cross_entropy", "labels", cols, labels.numpy()[bad], "row", bad)
    return dx


def _check(logits: NDArray, labels: NDArray) -> tuple[int, int]:
    if logits.ndim != 2 or 0 in logits.shape or labels.shape != logits.shape[:1]:
        raise ShapeError(f"[cross_entropy] needs logits (N, C) and labels (N,), got {logits.shape} and {labels.shape}")
    rows, cols = logits.shape
    return rows, cols
