"""The functions of the compiled backend, written in numpy: what they mean, and a device that runs everywhere."""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

__device_name__ = "numpy"
_float = np.float32


class Array:
    """A flat block of floats, uninitialised."""

    def __init__(self, size: int) -> None:
        self.array = np.empty(size, dtype=_float)

    @property
    def size(self) -> int:
        return self.array.size


def _view(a: Array, shape: Any, strides: Any, offset: int) -> np.ndarray:
    return as_strided(a.array[offset:], tuple(shape), tuple(stride * _float().itemsize for stride in strides))


def to_numpy(a: Array, shape: Any, strides: Any, offset: int) -> np.ndarray:
    return _view(a, shape, strides, offset).copy()


def from_numpy(a: np.ndarray, out: Array) -> None:
    out.array[:] = np.asarray(a).ravel()


def fill(out: Array, val: float) -> None:
    out.array.fill(val)


def compact(a: Array, out: Array, shape: Any, strides: Any, offset: int) -> None:
    out.array[:] = _view(a, shape, strides, offset).ravel()


def ewise_setitem(a: Array, out: Array, shape: Any, strides: Any, offset: int) -> None:
    _view(out, shape, strides, offset)[...] = a.array.reshape(shape)


def scalar_setitem(size: int, val: float, out: Array, shape: Any, strides: Any, offset: int) -> None:
    _view(out, shape, strides, offset)[...] = val


def _binary(f: Any) -> Any:
    def ewise(a: Array, b: Array, out: Array) -> None:
        with np.errstate(all="ignore"):
            out.array[:] = f(a.array, b.array)

    return ewise


def _scalar(f: Any) -> Any:
    def scalar(a: Array, val: float, out: Array) -> None:
        with np.errstate(all="ignore"):
            out.array[:] = f(a.array, _float(val))

    return scalar


def _unary(f: Any) -> Any:
    def ewise(a: Array, out: Array) -> None:
        with np.errstate(all="ignore"):
            out.array[:] = f(a.array)

    return ewise


ewise_add, scalar_add = _binary(np.add), _scalar(np.add)
ewise_sub, scalar_sub = _binary(np.subtract), _scalar(np.subtract)
ewise_mul, scalar_mul = _binary(np.multiply), _scalar(np.multiply)
ewise_div, scalar_div = _binary(np.divide), _scalar(np.divide)
ewise_power, scalar_power = _binary(np.power), _scalar(np.power)
ewise_maximum, scalar_maximum = _binary(np.maximum), _scalar(np.maximum)
ewise_eq, scalar_eq = _binary(np.equal), _scalar(np.equal)
ewise_ge, scalar_ge = _binary(np.greater_equal), _scalar(np.greater_equal)
ewise_neg, ewise_log, ewise_exp, ewise_tanh = _unary(np.negative), _unary(np.log), _unary(np.exp), _unary(np.tanh)


def matmul(a: Array, b: Array, out: Array, m: int, n: int, p: int) -> None:
    """out (m, p) = a (m, n) @ b (n, p)"""
    out.array[:] = (a.array.reshape(m, n) @ b.array.reshape(n, p)).ravel()


def reduce_max(a: Array, out: Array, k: int) -> None:
    out.array[:] = a.array.reshape(-1, k).max(axis=1)


def reduce_sum(a: Array, out: Array, k: int) -> None:
    out.array[:] = a.array.reshape(out.size, k).sum(axis=1)
