"""NDArray, how it is made of other things and shown, and the functions that the course calls on it.

Its memory is in strided.py; indexing, reshaping, permuting and broadcasting, which make views of the same memory, in
views.py; arithmetic, which makes new arrays, in arithmetic.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from needle.errors import DeviceError, DTypeError, IndexRangeError, ShapeError
from needle.reprs import array_text
from needle.types import dtype_of

from .arithmetic import Arithmetic, Axes
from .devices import BackendDevice, all_devices, cpu, cpu_numpy, cuda, default_device
from .ndarray_backend_cpu import register_ndarray
from .strided import StridedArray, known_device

__all__ = [
    "BackendDevice", "NDArray", "all_devices", "array", "broadcast_to", "cpu", "cpu_numpy", "cuda", "default_device",
    "empty", "exp", "flip", "full", "log", "max", "maximum", "reshape", "sum", "tanh",
]  # fmt: skip


class NDArray(Arithmetic):
    """A multidimensional array: of an NDArray (copied), a numpy array, a nested list or a number.

    `dtype` is one of needle.types.DTYPES; by default that of an NDArray, else float32. DTypeError for other dtypes and
    for data that are not numbers, ShapeError for lists of uneven lengths.
    """

    __slots__ = ()
    __array_priority__ = 1000  # numpy scalars leave `2 * a` to NDArray

    def __init__(self, other: Any, device: BackendDevice | None = None, dtype: Any = None) -> None:
        if isinstance(other, NDArray):
            made = other.to(other._device if device is None else device).astype(other.dtype if dtype is None else dtype)
            made = made._copy() if made._handle is other._handle else made
        else:
            values, dtype = numbers(other), dtype_of("NDArray", "float32" if dtype is None else dtype)
            made = NDArray.make(values.shape, device=device, dtype=dtype)
            made._handle.module.from_numpy(values, made._handle)
        for name in StridedArray.__slots__:
            setattr(self, name, getattr(made, name))

    @property
    def flat(self) -> NDArray:
        """The elements of a compact array as one axis: a view, so `a.flat[j] += 1` changes a."""
        return self.reshape((self.size,))

    def __repr__(self) -> str:
        if not hasattr(self, "_handle"):
            return "NDArray(<no data yet>)"
        dtype = [] if self.dtype == "float32" else [f"dtype={self.dtype}"]
        return array_text(self.seen(), "NDArray", [*dtype, f"device={self._device}"])

    def __str__(self) -> str:
        return str(self.seen())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The elements for numpy: the same memory, unless `dtype` differs or `copy` or a device asks for a copy."""
        return np.array(self.shared() if copy is False else self.seen(), dtype=dtype, copy=copy)

    def __dlpack__(self, **options: Any) -> Any:
        """The same memory for other libraries, by the DLPack protocol: `torch.from_dlpack(array)`."""
        if not self._device.shares_memory:
            return self._device.mod.to_dlpack(self._handle, self._shape, self._strides, self._offset)
        return self.shared().__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0) if self._device.shares_memory else (2, self._device.index)  # kDLCPU, kDLCUDA

    def __copy__(self) -> NDArray:
        return self._copy()

    def __deepcopy__(self, memo: Any) -> NDArray:
        return self._copy()

    def __reduce__(self) -> Any:
        return NDArray, (self.seen(), self._device, self.dtype)

    def fill(self, value: float) -> None:
        """Every element becomes `value`, in place."""
        if self._handle.dtype == "float32" and isinstance(value, float) and self.is_compact():
            self._handle.module.fill(self._handle, value)
        else:
            self._write(value)


def numbers(source: Any) -> np.ndarray:
    """`source` as a numpy array of numbers."""
    try:
        values = np.asarray(source)
    except ValueError:
        raise ShapeError("[NDArray] nested lists must have one length on each level") from None
    if values.dtype.kind not in "biuf":
        raise DTypeError(f"[NDArray] needs numbers, got {values.dtype.name} from {type(source).__name__}")
    return values


def array(a: Any, dtype: Any = "float32", device: BackendDevice | None = None) -> NDArray:
    """A new array of the numbers in `a`."""
    return NDArray(a, device=device, dtype=dtype)


def empty(shape: Sequence[int], dtype: Any = "float32", device: BackendDevice | None = None) -> NDArray:
    """An array whose elements are whatever the memory holds."""
    return known_device(device).empty(tuple(shape), dtype)


def full(
    shape: Sequence[int], fill_value: float, dtype: Any = "float32", device: BackendDevice | None = None
) -> NDArray:
    """An array of one number."""
    return known_device(device).full(tuple(shape), fill_value, dtype)


def _array(where: str, a: Any) -> NDArray:
    if not isinstance(a, NDArray):
        raise DTypeError(f"[{where}] needs an NDArray, got {type(a).__name__}")
    return a


def broadcast_to(array: NDArray, new_shape: Sequence[int]) -> NDArray:
    return _array("broadcast_to", array).broadcast_to(new_shape)


def reshape(array: NDArray, new_shape: Sequence[int]) -> NDArray:
    return _array("reshape", array).reshape(new_shape)


def maximum(a: NDArray, b: Any) -> NDArray:
    return _array("maximum", a).maximum(b)


def log(a: NDArray) -> NDArray:
    return _array("log", a).log()


def exp(a: NDArray) -> NDArray:
    return _array("exp", a).exp()


def tanh(a: NDArray) -> NDArray:
    return _array("tanh", a).tanh()


def sum(a: NDArray, axis: Axes = None, keepdims: bool = False) -> NDArray:
    return _array("sum", a).sum(axis=axis, keepdims=keepdims)


def max(a: NDArray, axis: Axes = None, keepdims: bool = False) -> NDArray:
    return _array("max", a).max(axis=axis, keepdims=keepdims)


def flip(a: NDArray, axes: Axes = None) -> NDArray:
    return _array("flip", a).flip(axes)


register_ndarray(NDArray, ShapeError, IndexRangeError, DeviceError)
