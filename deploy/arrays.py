"""Values of ops as numpy arrays, and back to the kind they came as: an NDArray, or an array; arrays of files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy

from .errors import DeployError


def read_npy(where: str, path: Path) -> numpy.ndarray:
    """The numbers in a .npy file. Raises DeployError, from `where`, if it holds no array."""
    cause: Exception | None = None
    try:
        found = numpy.load(path, allow_pickle=False)
        if isinstance(found, numpy.ndarray):
            return found
        found.close()
        reason = "it is an archive of arrays"
    except Exception as error:  # whatever headers, archives and sizes that are only claimed lead to
        cause, reason = error, getattr(error, "strerror", None) or "it is damaged or holds objects"
    raise DeployError(f"[{where}] '{path}' is not a .npy file of numbers: {reason}") from cause


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
