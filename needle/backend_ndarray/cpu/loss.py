"""Losses, element by element, on NDArrays of cpu()."""

from __future__ import annotations

from needle.backend_ndarray.ndarray import NDArray

from .pointwise import map2, map3


def squared_difference(a: NDArray, b: NDArray) -> NDArray:
    """y = (a - b)^2"""
    return map2("squared_difference", a, b)


def squared_difference_gradient(g: NDArray, a: NDArray, b: NDArray) -> NDArray:
    """da = 2 g (a - b)"""
    return map3("squared_difference_gradient", g, a, b)
