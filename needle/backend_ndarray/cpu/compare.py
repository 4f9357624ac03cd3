"""Comparisons, choices by a mask, and clipping on NDArrays of cpu(): each is one compiled pass over memory."""

from __future__ import annotations

from needle.backend_ndarray.ndarray import NDArray

from .pointwise import map1, map2, map3, map_scalar


def equal(a: NDArray, b: NDArray) -> NDArray:
    """y = [a = b]"""
    return map2("eq", a, b)


def not_equal(a: NDArray, b: NDArray) -> NDArray:
    """y = [a is not b]; true where either is NaN"""
    return map2("ne", a, b)


def less(a: NDArray, b: NDArray) -> NDArray:
    """y = [a < b]"""
    return map2("lt", a, b)


def less_equal(a: NDArray, b: NDArray) -> NDArray:
    """y = [a <= b]"""
    return map2("le", a, b)


def greater(a: NDArray, b: NDArray) -> NDArray:
    """y = [a > b]"""
    return map2("gt", a, b)


def greater_equal(a: NDArray, b: NDArray) -> NDArray:
    """y = [a >= b]"""
    return map2("ge", a, b)


def logical_not(x: NDArray) -> NDArray:
    """y = [x = 0]"""
    return map_scalar("eq", x, 0.0)


def logical_and(a: NDArray, b: NDArray) -> NDArray:
    """y = [neither is 0]"""
    return logical_not(map2("maximum", logical_not(a), logical_not(b)))


def logical_or(a: NDArray, b: NDArray) -> NDArray:
    """y = [not both are 0]"""
    return logical_not(map2("minimum", logical_not(a), logical_not(b)))


def where(mask: NDArray, a: NDArray, b: NDArray) -> NDArray:
    """y = a where the mask is not zero, else b"""
    return map3("where", mask, a, b)


def minimum(a: NDArray, b: NDArray) -> NDArray:
    """y = min(a, b); NaN where either is NaN"""
    return map2("minimum", a, b)


def larger_share(a: NDArray, b: NDArray) -> NDArray:
    """y = 1 where a > b, 1/2 where a = b, else 0"""
    return map2("larger_share", a, b)


def clip(x: NDArray, low: float, high: float) -> NDArray:
    """y = min(max(x, low), high)"""
    return map1("clip", x, low, high)


def clip_gradient(g: NDArray, x: NDArray, low: float, high: float) -> NDArray:
    """dx = g where low <= x <= high, else 0"""
    return map2("clip_gradient", g, x, low, high)


def absolute(x: NDArray) -> NDArray:
    """y = |x|"""
    return map1("abs", x)


def sign(x: NDArray) -> NDArray:
    """y = 1, 0 or -1, as x is positive, zero or negative"""
    return map1("sign", x)


def sqrt(x: NDArray) -> NDArray:
    """y = the square root of x"""
    return map1("sqrt", x)
