"""Means, variances and the gradient of extrema over axes."""

from __future__ import annotations

from ..arithmetic import Axes
from ..kernels import extension_of
from ..ndarray import NDArray


def _each(total: NDArray, x: NDArray, correction: float = 0) -> NDArray:
    """A sum / (how many elements of x went into each - correction); NaN of none."""
    compiled = extension_of(x)
    count = (x.size // total.size if total.size else 1) - correction
    return compiled.divide_scalar(total, count) if count > 0 else compiled.mul_scalar(total, float("nan"))


def mean(x: NDArray, axes: Axes = None, keepdims: bool = False) -> NDArray:
    """y = the sum of x over the axes / how many elements there are"""
    return _each(extension_of(x).sum(x, axes, keepdims), x)


def var(x: NDArray, axes: Axes = None, keepdims: bool = False, correction: float = 0) -> NDArray:
    """y = the sum over the axes of (x - mean)^2 / (how many elements there are - correction)"""
    compiled = extension_of(x)
    away = compiled.squared_difference(x, mean(x, axes, True).broadcast_to(x.shape))
    return _each(compiled.sum(away, axes, keepdims), x, correction)


def extremum_gradient(g: NDArray, x: NDArray, y: NDArray, axes: Axes) -> NDArray:
    """dx = g / k where x = y, of which there are k along the axes; else 0. g and y have size 1 there."""
    compiled = extension_of(x)
    taken = compiled.equal(x, y.broadcast_to(x.shape))
    return compiled.multiply(taken, compiled.divide(g, compiled.sum(taken, axes, True)).broadcast_to(x.shape))
