"""Activation functions and their gradients on NDArrays of cpu(): each is one compiled pass over memory."""

from __future__ import annotations

from needle.backend_ndarray.ndarray import NDArray

from .pointwise import map1, map2, map_scalar


def gelu(x: NDArray, approximate: bool = False) -> NDArray:
    """y = x P(x), P the normal distribution function, or its approximation by tanh"""
    return map1("gelu_tanh" if approximate else "gelu", x)


def gelu_gradient(g: NDArray, x: NDArray, approximate: bool = False) -> NDArray:
    """dx = g times the slope of gelu at x"""
    return map2("gelu_tanh_gradient" if approximate else "gelu_gradient", g, x)


def silu(x: NDArray) -> NDArray:
    """y = x sigmoid(x)"""
    return map1("silu", x)


def silu_gradient(g: NDArray, x: NDArray) -> NDArray:
    """dx = g s (1 + x (1 - s)), s = sigmoid x"""
    return map2("silu_gradient", g, x)


def softplus(x: NDArray) -> NDArray:
    """y = log(1 + e^x)"""
    return map1("softplus", x)


def softplus_gradient(g: NDArray, x: NDArray) -> NDArray:
    """dx = g sigmoid(x)"""
    return map2("softplus_gradient", g, x)


def leaky_relu(x: NDArray, slope: float) -> NDArray:
    """y = x where x > 0, else slope x"""
    return map_scalar("leaky_relu", x, slope)


def leaky_relu_gradient(g: NDArray, x: NDArray, slope: float) -> NDArray:
    """dx = g where x > 0, else slope g"""
    return map2("leaky_relu_gradient", g, x, slope, 0.0)
