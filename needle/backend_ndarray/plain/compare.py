"""Comparisons, choices by a mask, and clipping on numpy arrays."""

from __future__ import annotations

import math

import numpy as np

from .pointwise import floats


def equal(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """y = [a = b]"""
    return np.equal(a, b)


def not_equal(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """y = [a is not b]; true where either is NaN"""
    return np.not_equal(a, b)


def less(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """y = [a < b]"""
    return np.less(a, b)


def less_equal(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """y = [a <= b]"""
    return np.less_equal(a, b)


def greater(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """y = [a > b]"""
    return np.greater(a, b)


def greater_equal(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """y = [a >= b]"""
    return np.greater_equal(a, b)


def logical_not(x: np.ndarray) -> np.ndarray:
    """y = [x = 0]"""
    return np.logical_not(x)


def logical_and(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """y = [neither is 0]"""
    return np.logical_and(a, b)


def logical_or(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """y = [not both are 0]"""
    return np.logical_or(a, b)


def where(mask: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """y = a where the mask is not zero, else b"""
    return np.where(mask != 0, a, b)


def minimum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """y = min(a, b); NaN where either is NaN"""
    return np.minimum(a, b)


def larger_share(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """y = 1 where a > b, 1/2 where a = b, else 0"""
    kind = np.result_type(a, b)
    kind = kind if kind.kind == "f" else np.dtype("float64")
    return (a >= b).astype(kind) - (a == b) * kind.type(0.5)


def clip(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """y = min(max(x, low), high)"""
    y = x if low == -math.inf else np.maximum(x, low)
    return y if high == math.inf else np.minimum(y, high)


def clip_gradient(g: np.ndarray, x: np.ndarray, low: float, high: float) -> np.ndarray:
    """dx = g where low <= x <= high, else 0"""
    return np.where((x >= x.dtype.type(low)) & (x <= x.dtype.type(high)), g, g.dtype.type(0))


def absolute(x: np.ndarray) -> np.ndarray:
    """y = |x|"""
    return np.abs(x)


def sign(x: np.ndarray) -> np.ndarray:
    """y = 1, 0 or -1, as x is positive, zero or negative"""
    return np.sign(x)


def sqrt(x: np.ndarray) -> np.ndarray:
    """y = the square root of x"""
    with np.errstate(invalid="ignore"):
        return np.sqrt(floats(x))
