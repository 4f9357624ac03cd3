"""Batch, layer, group and root-mean-square normalisation on numpy arrays of any float dtype."""

from __future__ import annotations

from typing import Any

import numpy as np


def batch_norm(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float = 1e-5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """y = (x - mean) / sqrt(var + eps) weight + bias, mean and biased variance per channel (the last axis).

    x (..., C), weight and bias (C,). Returns y, mean (C,), var (C,).
    """
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axis=axes)
    var = np.square(x - mean).mean(axis=axes)
    return batch_norm_inference(x, weight, bias, mean, var, eps), mean, var


def batch_norm_inference(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, mean: np.ndarray, var: np.ndarray, eps: float = 1e-5
) -> np.ndarray:
    """y = (x - mean) / sqrt(var + eps) weight + bias with given statistics; x (..., C), the others (C,)."""
    return (x - mean) * (weight / np.sqrt(var + eps)) + bias


def batch_norm_gradient(
    g: np.ndarray, x: np.ndarray, weight: np.ndarray, mean: np.ndarray, var: np.ndarray, eps: float = 1e-5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """dx = weight r (g - mean(g) - n mean(g n)), dweight = sum(g n), dbias = sum(g).

    n = (x - mean) r, r = 1 / sqrt(var + eps); g and dx have the shape of x (..., C), the others (C,).
    """
    r = 1 / np.sqrt(var + eps)
    n = (x - mean) * r
    dweight, dbias = _over_rows(g * n), _over_rows(g)
    rows = x.size // x.shape[-1]
    return (g - dbias / rows - n * (dweight / rows)) * (weight * r), dweight, dbias


def layer_norm(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float = 1e-5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """y = (x - mean) rstd weight + bias, mean and rstd = 1 / sqrt(var + eps) per row (over the last axis).

    x (..., D), weight and bias (D,). Returns y, mean (..., 1), rstd (..., 1).
    """
    n, mean, rstd = _standardized(x, -1, eps)
    return n * weight + bias, mean, rstd


def layer_norm_gradient(
    g: np.ndarray, x: np.ndarray, weight: np.ndarray, mean: np.ndarray, rstd: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """dx = rstd (h - mean(h) - n mean(h n)), dweight = sum(g n), dbias = sum(g); n = (x - mean) rstd, h = g weight."""
    n = (x - mean) * rstd
    return _standardized_gradient(g * weight, n, rstd, -1), _over_rows(g * n), _over_rows(g)


def group_norm(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, groups: int, eps: float = 1e-5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """y = (x - mean) rstd weight + bias, mean and rstd = 1 / sqrt(var + eps) of each group of channels of each image.

    x (N, ..., C), weight and bias (C,). Returns y, mean (N, groups), rstd (N, groups).
    """
    n, mean, rstd = _standardized(_grouped(x, groups), (1, 3), eps)
    return n.reshape(x.shape) * weight + bias, mean.reshape(-1, groups), rstd.reshape(-1, groups)


def group_norm_gradient(
    g: np.ndarray, x: np.ndarray, weight: np.ndarray, mean: np.ndarray, rstd: np.ndarray, groups: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """dx = rstd (h - mean(h) - n mean(h n)), dweight = sum(g n), dbias = sum(g); n = (x - mean) rstd, h = g weight."""
    mean, rstd = mean[:, None, :, None], rstd[:, None, :, None]
    n = (_grouped(x, groups) - mean) * rstd
    dx = _standardized_gradient(_grouped(g * weight, groups), n, rstd, (1, 3))
    return dx.reshape(x.shape), _over_rows(g * n.reshape(x.shape)), _over_rows(g)


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
    return rstd * (h - n * (h * n).mean(axis=-1, keepdims=True)), _over_rows(g * n)


def _grouped(x: np.ndarray, groups: int) -> np.ndarray:
    """x (N, ..., C) as (N, pixels, groups, C / groups)."""
    return x.reshape(x.shape[0], -1, groups, x.shape[-1] // groups)


def _standardized(x: np.ndarray, axes: Any, eps: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n, mean, rstd): n = (x - mean) rstd has mean 0 and variance 1 over `axes`, which the others keep as 1."""
    mean = x.mean(axis=axes, keepdims=True)
    rstd = 1 / np.sqrt(np.square(x - mean).mean(axis=axes, keepdims=True) + eps)
    return (x - mean) * rstd, mean, rstd


def _standardized_gradient(h: np.ndarray, n: np.ndarray, rstd: np.ndarray, axes: Any) -> np.ndarray:
    """The adjoint of x, h being that of n."""
    return rstd * (h - h.mean(axis=axes, keepdims=True) - n * (h * n).mean(axis=axes, keepdims=True))


def _over_rows(x: np.ndarray) -> np.ndarray:
    """The sum over all axes but the last."""
    return x.sum(axis=tuple(range(x.ndim - 1)))
