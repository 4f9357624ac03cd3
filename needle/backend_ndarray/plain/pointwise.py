"""Functions of numpy arrays that numpy lacks, of any float dtype."""

from __future__ import annotations

import math

import numpy as np

from needle.errors import DTypeError


def floats(x: np.ndarray) -> np.ndarray:
    """x, in float64 if it holds no floats: numpy would take exp of bool in float16."""
    return x if x.dtype.kind == "f" else x.astype("float64")


def sigmoid(x: np.ndarray) -> np.ndarray:
    """y = 1 / (1 + e^-x)"""
    x = floats(x)
    e = np.exp(-np.abs(x))  # never overflows
    return np.where(x >= 0, x.dtype.type(1), e) / (1 + e)


def erf(x: np.ndarray) -> np.ndarray:
    """y = 2/sqrt(pi) integral of e^-t^2 over [0, x]"""
    x = floats(x)
    return np.vectorize(math.erf, otypes=[x.dtype])(x)


def power(x: np.ndarray, exponent: np.ndarray | float) -> np.ndarray:
    """x^exponent, which numpy refuses for negative powers of integers, and makes int8 of bool."""
    if x.dtype == bool and np.asarray(exponent).dtype == bool:
        return x | ~np.asarray(exponent)
    try:
        return np.power(x, exponent)
    except ValueError:
        raise DTypeError(
            f"[power] {x.dtype} has no negative integer powers: x.astype(\"float32\") casts"
        ) from None
