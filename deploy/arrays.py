"""Values of ops as numpy arrays, and back to the kind they came as: an NDArray, or an array."""

from __future__ import annotations

from typing import Any

import numpy


def like(x: Any, array: numpy.ndarray) -> Any:
    """The array in the dtype and of the kind of x."""
    return of_kind(x, numpy.asarray(array, dtype=x.dtype))


def of_kind(x: Any, array: numpy.ndarray) -> Any:
    """The array, of the kind of x."""
    result = numpy.ascontiguousarray(array)
    return result if isinstance(x, numpy.ndarray) else type(x)(result, device=x.device, dtype=str(result.dtype))


def double(x: Any) -> numpy.ndarray:
    """In float64: what is computed once may be computed well."""
    return as_numpy(x).astype(numpy.float64)


def as_numpy(x: Any) -> numpy.ndarray:
    return numpy.asarray(x.numpy() if hasattr(x, "numpy") else x)
