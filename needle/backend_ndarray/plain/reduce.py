"""Sums, means, variances and extrema of numpy arrays over axes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Axes = int | Sequence[int] | None


def _axis(axes: Axes) -> int | tuple[int, ...] | None:
    return axes if axes is None or isinstance(axes, int) else tuple(axes)


def sum(x: np.ndarray, axes: Axes = None, keepdims: bool = False) -> np.ndarray:
    """y = the sum of x over the axes"""
    return np.asarray(x.sum(axis=_axis(axes), keepdims=keepdims))


def max(x: np.ndarray, axes: Axes = None, keepdims: bool = False) -> np.ndarray:
    """y = the maximum of x over the axes"""
    return np.asarray(x.max(axis=_axis(axes), keepdims=keepdims))


def min(x: np.ndarray, axes: Axes = None, keepdims: bool = False) -> np.ndarray:
    """y = the minimum of x over the axes"""
    return np.asarray(x.min(axis=_axis(axes), keepdims=keepdims))


def _each(total: np.ndarray, x: np.ndarray, correction: float = 0) -> np.ndarray:
    """A sum with its dimensions kept / (how many elements of x went into each - correction); NaN of none."""
    count = (x.size // total.size if total.size else 1) - correction
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / count if count > 0 else np.full_like(total, np.nan)


def _wide(x: np.ndarray) -> np.ndarray:
    """x in a dtype that holds sums over its elements: integers would wrap around, and float16 ends at 65504."""
    if x.dtype.kind != "f":
        return x.astype("float64")
    return x.astype("float32") if x.dtype == "float16" else x


def _narrow(y: np.ndarray, x: np.ndarray, axes: Axes, keepdims: bool) -> np.ndarray:
    """y, which has its dimensions kept, as the result of a reduction of x: of its dtype where that is a float."""
    y = y.astype(x.dtype, copy=False) if x.dtype.kind == "f" else y
    return y if keepdims else np.asarray(y.squeeze(_axis(axes)))


def mean(x: np.ndarray, axes: Axes = None, keepdims: bool = False) -> np.ndarray:
    """y = the sum of x over the axes / how many elements there are; of integers in float64"""
    wide = _wide(x)
    return _narrow(_each(np.asarray(wide.sum(axis=_axis(axes), keepdims=True)), x), x, axes, keepdims)


def var(x: np.ndarray, axes: Axes = None, keepdims: bool = False, correction: float = 0) -> np.ndarray:
    """y = the sum over the axes of (x - mean)^2 / (how many elements there are - correction); of integers in float64"""
    wide = _wide(x)
    away = wide - mean(wide, axes, True)
    y = _each(np.asarray((away * away).sum(axis=_axis(axes), keepdims=True)), x, correction)
    return _narrow(y, x, axes, keepdims)


def extremum_gradient(g: np.ndarray, x: np.ndarray, y: np.ndarray, axes: Axes) -> np.ndarray:
    """dx = g / k where x = y, of which there are k along the axes; else 0. g and y have size 1 there."""
    taken = (x == y).astype(x.dtype)
    with np.errstate(invalid="ignore", divide="ignore"):
        return taken * (g / taken.sum(axis=_axis(axes), keepdims=True))
