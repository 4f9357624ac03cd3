"""Losses, element by element, on numpy arrays of any float dtype."""

from __future__ import annotations

import numpy as np

from .pointwise import floats


def squared_difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """y = (a - b)^2; of integers in float64, where squares do not wrap around"""
    return (floats(a) - floats(b)) ** 2


def squared_difference_gradient(g: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """da = 2 g (a - b)"""
    return 2 * g * (floats(a) - floats(b))
