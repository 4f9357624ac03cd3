"""Pointwise maps on numpy arrays of any float dtype."""

from __future__ import annotations

import math

import numpy as np

from needle.errors import DTypeError


def floats(x: np.ndarray) -> np.ndarray:
    """x, in float64 if it holds no floats: numpy would take exp of bool in float16."""
    return x if x.dtype.kind == "f" else x.astype("float64")


def add(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """y = a + b"""
    return a + b


def sub(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """y = a - b"""
    return a - b


def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """y = a b"""
    return a * b


def divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """y = a / b"""
    return a / b


def maximum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """y = max(a, b); NaN where either is NaN"""
    return np.maximum(a, b)


def power(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """y = a^b"""
    return _power(a, b)


def add_scalar(x: np.ndarray, s: float) -> np.ndarray:
    """y = x + s"""
    return x + s


def multiply_scalar(x: np.ndarray, s: float) -> np.ndarray:
    """y = x s"""
    return x * s


def divide_scalar(x: np.ndarray, s: float) -> np.ndarray:
    """y = x / s"""
    return x / s


def power_scalar(x: np.ndarray, s: float) -> np.ndarray:
    """y = x^s"""
    return _power(x, s)


def _power(x: np.ndarray, exponent: np.ndarray | float) -> np.ndarray:
    """x^exponent, which numpy refuses for negative powers of integers, and makes int8 of bool."""
    if x.dtype == bool and np.asarray(exponent).dtype == bool:
        return x | ~np.asarray(exponent)
    try:
        return np.power(x, exponent)
    except ValueError:
        raise DTypeError(
            f"[power] {x.dtype} has no negative integer powers: x.astype(\"float32\") casts"
        ) from None


def negate(x: np.ndarray) -> np.ndarray:
    """y = -x"""
    return -x


def exp(x: np.ndarray) -> np.ndarray:
    """y = e^x"""
    return np.exp(floats(x))


def log(x: np.ndarray) -> np.ndarray:
    """y = ln x"""
    return np.log(floats(x))


def tanh(x: np.ndarray) -> np.ndarray:
    """y = tanh x"""
    return np.tanh(floats(x))


def sigmoid(x: np.ndarray) -> np.ndarray:
    """y = 1 / (1 + e^-x)"""
    x = floats(x)
    e = np.exp(-np.abs(x))  # never overflows
    return np.where(x >= 0, x.dtype.type(1), e) / (1 + e)


def erf(x: np.ndarray) -> np.ndarray:
    """y = 2/sqrt(pi) integral of e^-t^2 over [0, x]"""
    x = floats(x)
    return np.vectorize(math.erf, otypes=[x.dtype])(x)


def relu(x: np.ndarray) -> np.ndarray:
    """y = max(x, 0)"""
    return np.maximum(x, x.dtype.type(0))


def relu_gradient(g: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dx = g where x > 0, else 0"""
    return np.where(x > 0, g, g.dtype.type(0))


def tanh_gradient(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dx = g (1 - y^2), y = tanh x"""
    return g * (1 - y * y)


def sigmoid_gradient(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dx = g y (1 - y), y = sigmoid x"""
    return g * (y * (1 - y))
