"""Group and root-mean-square normalisation on numpy arrays of any float dtype."""

from __future__ import annotations

import numpy as np


def _grouped(x: np.ndarray, groups: int) -> np.ndarray:
    """x (N, ..., C) as (N, pixels, groups, C / groups)."""
    return x.reshape(x.shape[0], -1, groups, x.shape[-1] // groups)


def group_norm(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, groups: int, eps: float = 1e-5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """y = (x - mean) rstd weight + bias, mean and rstd = 1 / sqrt(var + eps) of each group of channels of each image.

    x (N, ..., C), weight and bias (C,). Returns y, mean (N, groups), rstd (N, groups).
    """
    parts = _grouped(x, groups)
    mean = parts.mean(axis=(1, 3), keepdims=True)
    rstd = 1 / np.sqrt(np.square(parts - mean).mean(axis=(1, 3), keepdims=True) + eps)
    y = ((parts - mean) * rstd).reshape(x.shape) * weight + bias
    return y, mean.reshape(-1, groups), rstd.reshape(-1, groups)


def group_norm_gradient(
    g: np.ndarray, x: np.ndarray, weight: np.ndarray, mean: np.ndarray, rstd: np.ndarray, groups: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """dx = rstd (h - mean(h) - n mean(h n)), dweight = sum(g n), dbias = sum(g); n = (x - mean) rstd, h = g weight."""
    axes = tuple(range(x.ndim - 1))
    mean, rstd = mean[:, None, :, None], rstd[:, None, :, None]
    n, h = (_grouped(x, groups) - mean) * rstd, _grouped(g * weight, groups)
    dx = rstd * (h - h.mean(axis=(1, 3), keepdims=True) - n * (h * n).mean(axis=(1, 3), keepdims=True))
    return dx.reshape(x.shape), (g * n.reshape(x.shape)).sum(axis=axes), g.sum(axis=axes)


def rms_norm(x: np.ndarray, weight: np.ndarray, eps: float = 1e-5) -> tuple[np.ndarray, np.ndarray]:
    """y = x rstd weight, rstd = 1 / sqrt(mean of squares + eps) per row (over the last axis).

    x (..., D), weight (D,). Returns y, rstd (..., 1).
    """
    rstd = 1 / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + eps)
    return x * rstd * weight, rstd


def rms_norm_gradient(
    g: np.ndarray, x: np.ndarray, weight: np.ndarray, rstd: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """dx = rstd (h - n mean(h n)), dweight = sum(g n); n = x rstd, h = g weight."""
    n, h = x * rstd, g * weight
    dx = rstd * (h - n * (h * n).mean(axis=-1, keepdims=True))
    return dx, (g * n).sum(axis=tuple(range(x.ndim - 1)))
