"""Euclidean norms of gradients, of numbers of any size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy

LEAST = 1e-20  # sums of squares below it may have lost squares that float32 does not hold


def norm(arrays: Sequence[Any], squares: float) -> float:
    """|a|, the Euclidean norm of all elements of the arrays together, given the sum of their squares in floats.

    Where squares over- or underflow, what the sum says is replaced by max|a| |a / max|a||, in float64. The result is
    infinite or NaN only if an element is, or for numbers beyond 1e300.
    """
    if LEAST <= squares < math.inf:
        return math.sqrt(squares)
    largest = float(numpy.max([_largest(x) for x in arrays], initial=0.0))
    if largest == 0 or not math.isfinite(largest):
        return largest
    return largest * math.sqrt(sum(float(numpy.square(_values(x) / largest).sum()) for x in arrays))


def is_finite(array: Any) -> bool:
    """Whether no element is infinite or NaN."""
    return math.isfinite(_largest(array))


def _largest(array: Any) -> float:
    return float(numpy.max(numpy.abs(_values(array)), initial=0.0))


def _values(array: Any) -> numpy.ndarray:
    """The elements in float64."""
    values = array if isinstance(array, numpy.ndarray) else array.shared()
    return numpy.asarray(values, dtype="float64")
