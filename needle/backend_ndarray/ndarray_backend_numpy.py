"""The functions of the compiled backend, written in numpy: what they mean, and a device that runs everywhere.

They also hold the arrays of every dtype but float32 on the other devices.
"""

import sys
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from needle.errors import ShapeError

__device_name__ = "numpy"


class Array:
    """A flat block of elements of one dtype, uninitialised."""

    __slots__ = ("array", "dtype")
    module = sys.modules[__name__]  # the functions that work on it

    def __init__(self, size: int, dtype: str = "float32") -> None:
        self.array = np.empty(size, dtype=dtype)
        self.dtype = dtype

    @property
    def size(self) -> int:
        return self.array.size


def wrap(a: np.ndarray) -> Array:
    """An Array of the memory of `a`, which is in row-major order."""
    array = Array.__new__(Array)
    array.array, array.dtype = a.reshape(-1), a.dtype.name
    return array


def shared(a: Array, shape: Any, strides: Any, offset: int) -> np.ndarray:
    """The view as a numpy array of the same memory."""
    shape, strides = tuple(shape), tuple(strides)
    _check(a.array.size, shape, strides, offset)
    step = a.array.itemsize
    return as_strided(a.array[offset:], shape, tuple(stride * step for stride in strides))


@lru_cache(maxsize=8192)
def _check(size: int, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> None:
    """ShapeError unless all that the view reaches lies inside an array of this size."""
    if 0 in shape:
        return
    reach = [(n - 1) * stride for n, stride in zip(shape, strides, strict=True)]
    low, high = offset + sum(min(n, 0) for n in reach), offset + sum(max(n, 0) for n in reach)
    if low < 0 or high >= size or min(shape, default=0) < 0:
        raise ShapeError(f"[shared] the view reaches elements {low}..{high} of an array of {size}")


def to_numpy(a: Array, shape: Any, strides: Any, offset: int) -> np.ndarray:
    return shared(a, shape, strides, offset).copy()


def from_numpy(a: np.ndarray, out: Array) -> None:
    with np.errstate(all="ignore"):
        out.array[:] = np.asarray(a).ravel()


def fill(out: Array, val: float) -> None:
    out.array.fill(val)


def compact(a: Array, out: Array, shape: Any, strides: Any, offset: int) -> None:
    out.array[:] = shared(a, shape, strides, offset).ravel()


def ewise_setitem(a: Array, out: Array, shape: Any, strides: Any, offset: int) -> None:
    shared(out, shape, strides, offset)[...] = a.array.reshape(shape)


def scalar_setitem(size: int, val: float, out: Array, shape: Any, strides: Any, offset: int) -> None:
    shared(out, shape, strides, offset)[...] = val


def _binary(f: Any) -> Any:
    def ewise(a: Array, b: Array, out: Array) -> None:
        with np.errstate(all="ignore"):
            out.array[:] = f(a.array, b.array)

    return ewise


def _scalar(f: Any) -> Any:
    def scalar(a: Array, val: float, out: Array) -> None:
        with np.errstate(all="ignore"):
            out.array[:] = f(a.array, a.array.dtype.type(val))

    return scalar


def _unary(f: Any) -> Any:
    def ewise(a: Array, out: Array) -> None:
        with np.errstate(all="ignore"):
            out.array[:] = f(a.array)

    return ewise


FUNCTIONS: dict[str, Any] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "power": np.power, "maximum": np.maximum,
    "eq": np.equal, "ne": np.not_equal, "ge": np.greater_equal, "gt": np.greater, "le": np.less_equal, "lt": np.less,
    "neg": np.negative, "log": np.log, "exp": np.exp, "tanh": np.tanh,
}  # fmt: skip
for _name, _function in FUNCTIONS.items():
    if _function.nin == 1:
        globals()["ewise_" + _name] = _unary(_function)
    else:
        globals()["ewise_" + _name], globals()["scalar_" + _name] = _binary(_function), _scalar(_function)


def matmul(a: Array, b: Array, out: Array, m: int, n: int, p: int) -> None:
    """out (m, p) = a (m, n) @ b (n, p)"""
    out.array[:] = (a.array.reshape(m, n) @ b.array.reshape(n, p)).ravel()


def reduce_max(a: Array, out: Array, k: int) -> None:
    if out.size > 0:  # numpy refuses maxima of nothing even where there are none
        out.array[:] = a.array.reshape(out.size, k).max(axis=1)


def reduce_sum(a: Array, out: Array, k: int) -> None:
    out.array[:] = a.array.reshape(out.size, k).sum(axis=1)
