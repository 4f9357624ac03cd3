"""What computes a pointwise function of arrays, by their kind: a compiled kernel, or numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import ndarray_backend_cpu as compiled
from .kernels import through_numpy
from .ndarray_backend_cpu import Array as FloatArray


def pointwise(kernel: str, plain: Callable[..., Any], first: Any, *more: Any) -> Any:
    """A function of arrays of one shape and dtype, then numbers: `kernel` for float32 on cpu(), else `plain`.

    The latter takes numpy arrays. The kernel's results lie in memory as the first operand that has no gaps: NHWC memory
    seen as NCHW stays so, and nothing is copied.
    """
    if isinstance(first, np.ndarray | np.generic):
        return plain(first, *more)
    if first._handle.__class__ is FloatArray:
        return getattr(compiled, kernel)(first, *more)
    return through_numpy(plain, first._device, first, *more)
