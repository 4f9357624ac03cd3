"""Softmax, log-softmax, log-sum-exp and cross entropy on numpy arrays of any float dtype."""

from __future__ import annotations

import numpy as np

from needle.backend_ndarray.plain.pointwise import floats
from needle.errors import IndexRangeError, ShapeError


def softmax(x: np.ndarray) -> np.ndarray:
    """y = exp(x) / sum exp(x) over the last axis."""
    with np.errstate(invalid="ignore"):  # infinite maxima: the row is NaN, as inf - inf is
        x = floats(x)
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)


def softmax_gradient(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dx = y (g - sum(g y)) over the last axis, y being the softmax."""
    return y * (g - (g * y).sum(axis=-1, keepdims=True))


def logsoftmax(x: np.ndarray) -> np.ndarray:
    """y = x - log sum exp(x) over the last axis."""
    with np.errstate(invalid="ignore", divide="ignore"):
        x = floats(x)
        shifted = x - x.max(axis=-1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def logsoftmax_gradient(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dx = g - exp(y) sum(g) over the last axis, y being the log-softmax."""
    return g - np.exp(y) * g.sum(axis=-1, keepdims=True)


def logsumexp(x: np.ndarray, axes: int | tuple[int, ...] | None = None) -> np.ndarray:
    """y = log sum exp(x) over the axes (all by default), which go away; -inf where all is -inf."""
    x = floats(x)
    top = x.max(axis=axes, keepdims=True)
    top = np.where(np.isfinite(top), top, np.zeros_like(top))
    with np.errstate(divide="ignore"):
        total = np.log(np.exp(x - top).sum(axis=axes, keepdims=True)) + top
    return np.asarray(np.squeeze(total, axis=axes))


def cross_entropy(
    logits: np.ndarray, labels: np.ndarray, smoothing: float = 0.0, ignored: float | None = None,
    reduction: str = "mean",
) -> np.ndarray:  # fmt: skip
    """loss = log sum exp(x) - (1 - s) x[label] - s mean(x) of each row, and 0 where the label is `ignored`.

    logits (N, C), labels (N,) whole numbers; s is the label smoothing. The result has shape (), or (N,) with the
    reduction "none"; "mean" is over the rows that are not ignored, 0 if all are. Raises IndexRangeError for any other
    label outside 0..C-1.
    """
    chosen, counts = _labels(labels, logits, ignored)
    loss = logsumexp(logits, 1) - (1 - smoothing) * logits[np.arange(len(chosen)), chosen]
    if smoothing:
        loss = loss - smoothing * logits.mean(axis=1)
    loss = np.where(counts, loss, loss.dtype.type(0))
    if reduction == "none":
        return loss
    return np.asarray(loss.sum() / (max(1, int(counts.sum())) if reduction == "mean" else 1), dtype=loss.dtype)


def cross_entropy_gradient(
    g: np.ndarray, logits: np.ndarray, labels: np.ndarray, smoothing: float = 0.0, ignored: float | None = None,
    reduction: str = "mean",
) -> np.ndarray:  # fmt: skip
    """dlogits = g / N (softmax(x) - (1 - s) onehot(label) - s / C), and 0 in the rows that are ignored.

    g is the gradient of the loss; N is 1 unless the reduction is "mean".
    """
    rows, classes = logits.shape
    chosen, counts = _labels(labels, logits, ignored)
    out = softmax(logits) - np.asarray(smoothing / classes, dtype=logits.dtype)
    out[np.arange(rows), chosen] -= 1 - smoothing
    share = counts / (max(1, int(counts.sum())) if reduction == "mean" else 1)
    return np.where(counts[:, None], out, out.dtype.type(0)) * (np.reshape(g, -1) * share).astype(logits.dtype)[:, None]


def _labels(labels: np.ndarray, logits: np.ndarray, ignored: float | None) -> tuple[np.ndarray, np.ndarray]:
    """The labels as integers, and which of them count; those that do not are 0."""
    rows, classes = logits.shape
    if rows == 0:
        raise ShapeError(f"[cross_entropy] needs at least one row, got logits of shape {logits.shape}")
    if labels.shape != (rows,):
        raise ShapeError(f"[cross_entropy] labels must have shape ({rows},), got {labels.shape}")
    counts = np.ones(rows, dtype=bool) if ignored is None else labels != ignored
    known = np.where(counts, labels, labels.dtype.type(0))
    return indices("cross_entropy", "labels", known, classes, "row "), counts


def indices(where: str, what: str, values: np.ndarray, count: int, place: str, low: int = 0) -> np.ndarray:
    """The values as integers; IndexRangeError naming the first one that is no whole number in low..count-1."""
    with np.errstate(invalid="ignore"):
        whole = (values >= low) & (values < count) & (values == np.floor(values))
    if not whole.all():
        first = int(np.argmin(whole.reshape(-1)))
        value = values.reshape(-1)[first]
        needed = f"whole numbers in {low}..{count - 1}"
        raise IndexRangeError(f"[{where}] {what} must be {needed}, got {value:g} at {place}{first}")
    return values.astype(np.int64)
