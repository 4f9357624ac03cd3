"""Batch and layer normalisation on numpy arrays of any float dtype."""

from __future__ import annotations

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
    axes = tuple(range(x.ndim - 1))
    r = 1 / np.sqrt(var + eps)
    n = (x - mean) * r
    dweight, dbias = (g * n).sum(axis=axes), g.sum(axis=axes)
    rows = x.size // x.shape[-1]
    return (g - dbias / rows - n * (dweight / rows)) * (weight * r), dweight, dbias


def layer_norm(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float = 1e-5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """y = (x - mean) rstd weight + bias, mean and rstd = 1 / sqrt(var + eps) per row (over the last axis).

    x (..., D), weight and bias (D,). Returns y, mean (..., 1), rstd (..., 1).
    """
    mean = x.mean(axis=-1, keepdims=True)
    rstd = 1 / np.sqrt(np.square(x - mean).mean(axis=-1, keepdims=True) + eps)
    return (x - mean) * rstd * weight + bias, mean, rstd


def layer_norm_gradient(
    g: np.ndarray, x: np.ndarray, weight: np.ndarray, mean: np.ndarray, rstd: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """dx = rstd (h - mean(h) - n mean(h n)), dweight = sum(g n), dbias = sum(g); n = (x - mean) rstd, h = g weight."""
    axes = tuple(range(x.ndim - 1))
    n = (x - mean) * rstd
    h = g * weight
    dx = rstd * (h - h.mean(axis=-1, keepdims=True) - n * (h * n).mean(axis=-1, keepdims=True))
    return dx, (g * n).sum(axis=axes), g.sum(axis=axes)
