"""Activation functions and their gradients on numpy arrays of any float dtype."""

from __future__ import annotations

import math

import numpy as np

from .pointwise import erf, floats, sigmoid


def _normal_cdf(x: np.ndarray) -> np.ndarray:
    return (1 + erf(x * x.dtype.type(math.sqrt(0.5)))) * x.dtype.type(0.5)


def _gate(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(1 + tanh u) / 2 = sigmoid(2 u) with u = sqrt(2 / pi) (x + 0.044715 x^3), and the slope of 2 u."""
    c, square = 2 * math.sqrt(2 / math.pi), x * x
    one, cubic = x.dtype.type(c), x.dtype.type(0.044715 * c)
    return sigmoid(x * (one + cubic * square)), one + 3 * cubic * square


def gelu(x: np.ndarray, approximate: bool = False) -> np.ndarray:
    """y = x P(x), P the normal distribution function, or its approximation by tanh"""
    x = floats(x)
    return x * (_gate(x)[0] if approximate else _normal_cdf(x))


def gelu_gradient(g: np.ndarray, x: np.ndarray, approximate: bool = False) -> np.ndarray:
    """dx = g times the slope of gelu at x"""
    if approximate:
        s, slope = _gate(x)
        return g * (s + x * slope * (s * (1 - s)))
    density = np.exp(x * x * x.dtype.type(-0.5)) * x.dtype.type(1 / math.sqrt(2 * math.pi))
    return g * (_normal_cdf(x) + x * density)


def silu(x: np.ndarray) -> np.ndarray:
    """y = x sigmoid(x)"""
    return floats(x) * sigmoid(x)


def silu_gradient(g: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dx = g s (1 + x (1 - s)), s = sigmoid x"""
    s = sigmoid(x)
    return g * (s * (1 + x * (1 - s)))


def softplus(x: np.ndarray) -> np.ndarray:
    """y = log(1 + e^x)"""
    x = floats(x)
    return np.maximum(x, x.dtype.type(0)) + np.log1p(np.exp(-np.abs(x)))


def softplus_gradient(g: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dx = g sigmoid(x)"""
    return g * sigmoid(x)


def leaky_relu(x: np.ndarray, slope: float) -> np.ndarray:
    """y = x where x > 0, else slope x"""
    return np.where(x > 0, x, x * slope)


def leaky_relu_gradient(g: np.ndarray, x: np.ndarray, slope: float) -> np.ndarray:
    """dx = g where x > 0, else slope g"""
    return np.where(x > 0, g, g * g.dtype.type(slope))
