"""NDArray: a view (shape, strides, offset) of a flat block of float32 on some device.

Indexing, reshaping, permuting and broadcasting make views of the same memory with the strides that numpy would give;
arithmetic makes new, compact arrays.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from needle.errors import BroadcastError, DeviceError, IndexRangeError, ShapeError

from .arithmetic import Arithmetic, Axes
from .devices import BackendDevice, all_devices, cpu, cpu_numpy, cuda, default_device
from .layout import compact_strides, is_row_major

__all__ = [
    "BackendDevice", "NDArray", "all_devices", "array", "broadcast_to", "cpu", "cpu_numpy", "cuda", "default_device",
    "empty", "exp", "flip", "full", "log", "max", "maximum", "reshape", "sum", "tanh",
]  # fmt: skip


class NDArray(Arithmetic):
    """A multidimensional array of float32: of an NDArray (copied), a numpy array, a nested list or a number."""

    __slots__ = ("_compact", "_device", "_handle", "_offset", "_shape", "_strides")
    __array_priority__ = 1000  # numpy scalars leave `2 * a` to NDArray

    _shape: tuple[int, ...]
    _strides: tuple[int, ...]
    _offset: int
    _device: BackendDevice
    _handle: Any
    _compact: bool | None  # None: not known yet

    def __init__(self, other: Any, device: BackendDevice | None = None) -> None:
        if isinstance(other, NDArray):
            device = device or other._device
            made = other._copy() if device == other._device else other.to(device)
        else:
            values = np.asarray(other)
            made = NDArray.make(values.shape, device=device)
            made._device.mod.from_numpy(values, made._handle)
        for name in NDArray.__slots__:
            setattr(self, name, getattr(made, name))

    @staticmethod
    def compact_strides(shape: Sequence[int]) -> tuple[int, ...]:
        """Strides, in elements, of a row-major array of this shape."""
        return compact_strides(tuple(shape))

    @staticmethod
    def make(
        shape: Sequence[int],
        strides: Sequence[int] | None = None,
        device: BackendDevice | None = None,
        handle: Any = None,
        offset: int = 0,
    ) -> NDArray:
        """A view of `handle`, or of a new uninitialised block when there is none."""
        new = NDArray.__new__(NDArray)
        new._shape = shape = tuple(shape)
        new._strides = compact_strides(shape) if strides is None else tuple(strides)
        new._offset = offset
        new._device = device = device or default_device()
        if handle is not None:
            new._handle = handle
            new._compact = None
            return new
        if device.mod is None:
            raise DeviceError(f"[{device}] the device is not available; enabled are "
                              f"{[each for each in all_devices() if each.enabled()]}")
        new._handle = device.mod.Array(prod(shape))
        new._compact = True if strides is None else None
        return new

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    @property
    def strides(self) -> tuple[int, ...]:
        """Steps along each axis, in elements."""
        return self._strides

    @property
    def device(self) -> BackendDevice:
        return self._device

    @property
    def dtype(self) -> str:
        return "float32"

    @property
    def ndim(self) -> int:
        return len(self._shape)

    @property
    def size(self) -> int:
        return prod(self._shape)

    @property
    def flat(self) -> NDArray:
        """The elements of a compact array as one axis: a view, so `a.flat[j] += 1` changes a."""
        return self.reshape((self.size,))

    def __repr__(self) -> str:
        return f"NDArray({self.numpy()}, device={self._device})"

    def __str__(self) -> str:
        return str(self.numpy())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        values = self.numpy()
        return values if dtype is None else values.astype(dtype, copy=False)

    # -- moving and copying ------------------------------------------------------------------------------------------

    def numpy(self) -> np.ndarray:
        """A numpy copy."""
        return self._device.mod.to_numpy(self._handle, self._shape, self._strides, self._offset)

    def to(self, device: BackendDevice) -> NDArray:
        """This array on `device`; itself when it is there already."""
        return self if device == self._device else NDArray(self.numpy(), device=device)

    def astype(self, dtype: Any) -> NDArray:
        """This array: every dtype is stored as float32."""
        return self

    def fill(self, value: float) -> None:
        """Every element becomes `value`, in place."""
        if self.is_compact():
            self._device.mod.fill(self._handle, value)
        else:
            self._write(value)

    def is_compact(self) -> bool:
        """Whether this is the whole of its memory, in row-major order."""
        if self._compact is None:
            self._compact = (
                is_row_major(self._shape, self._strides) and self._offset == 0 and prod(self._shape) == self._handle.size
            )
        return self._compact

    def compact(self) -> NDArray:
        """This array in memory of its own, row-major; itself when it is so already."""
        return self if self._compact or self.is_compact() else self._copy()

    def _copy(self) -> NDArray:
        out = NDArray.make(self._shape, device=self._device)
        self._device.mod.compact(self._handle, out._handle, self._shape, self._strides, self._offset)
        return out

    # -- views -------------------------------------------------------------------------------------------------------

    def as_strided(self, shape: Sequence[int], strides: Sequence[int]) -> NDArray:
        """The same memory with another shape and strides, unchecked until it is read."""
        if len(shape) != len(strides):
            raise ShapeError(f"[as_strided] needs a stride per axis, got {tuple(strides)} for {tuple(shape)}")
        return NDArray.make(shape, strides, self._device, self._handle, self._offset)

    def reshape(self, new_shape: int | Sequence[int]) -> NDArray:
        """The same elements in row-major order with another shape; one size may be -1. A view: never copies.

        ShapeError (a ValueError) when the sizes do not agree or the array is not compact.
        """
        shape = (new_shape,) if isinstance(new_shape, int) else tuple(new_shape)
        size, known = self.size, -prod(shape)
        if shape.count(-1) == 1 and known > 0 and size % known == 0:
            shape = tuple(size // known if n == -1 else n for n in shape)
        if prod(shape) != size or any(n < 0 for n in shape):
            raise ShapeError(f"[reshape] the number of elements must stay the same, got {self._shape} to {shape}")
        if not self.is_compact():
            raise ShapeError(f"[reshape] needs a compact array, got strides {self._strides} for {self._shape}; compact() makes one")
        return NDArray.make(shape, None, self._device, self._handle)

    def permute(self, new_axes: Sequence[int]) -> NDArray:
        """The axes in another order: axis k of the result is axis new_axes[k]. A view."""
        axes = tuple(new_axes)
        if sorted(axes) != list(range(self.ndim)):
            raise ShapeError(f"[permute] needs each of the axes 0..{self.ndim - 1} once, got {axes}")
        shape, strides = tuple(self._shape[a] for a in axes), tuple(self._strides[a] for a in axes)
        return NDArray.make(shape, strides, self._device, self._handle, self._offset)

    def broadcast_to(self, new_shape: Sequence[int]) -> NDArray:
        """Axes of size one, and new leading axes, repeat. A view whose strides are 0 there.

        BroadcastError (a ValueError and an AssertionError) when another axis would have to change.
        """
        shape = tuple(new_shape)
        lead = len(shape) - self.ndim
        if lead < 0 or any(n not in (1, m) for n, m in zip(self._shape, shape[lead:], strict=True)):
            raise BroadcastError(f"[broadcast_to] sizes must be equal or 1, got {self._shape} to {shape}")
        strides = (0,) * lead + tuple(
            0 if n == 1 else stride for n, stride in zip(self._shape, self._strides, strict=True)
        )
        return NDArray.make(shape, strides, self._device, self._handle, self._offset)

    def flip(self, axes: Axes = None) -> NDArray:
        """The axes run backwards, in a compact copy."""
        strides, offset = list(self._strides), self._offset
        for axis in self._axes("flip", axes):
            offset += (self._shape[axis] - 1) * strides[axis] * (self._shape[axis] > 0)
            strides[axis] = -strides[axis]
        return NDArray.make(self._shape, strides, self._device, self._handle, offset)._copy()

    def pad(self, axes: Sequence[tuple[int, int]]) -> NDArray:
        """Zeros around the array: a (before, after) for each axis."""
        if len(axes) != self.ndim or any(n < 0 for pair in axes for n in pair):
            raise ShapeError(f"[pad] needs a (before, after) for each of {self.ndim} axes, got {tuple(axes)}")
        shape = tuple(n + left + right for n, (left, right) in zip(self._shape, axes, strict=True))
        out = self._device.full(shape, 0.0)
        out[tuple(slice(left, left + n) for n, (left, _) in zip(self._shape, axes, strict=True))] = self
        return out

    def process_slice(self, s: Any, i: int) -> slice:
        """An int or slice along axis i as a slice with start, stop and step inside the axis."""
        size = self._shape[i]
        if isinstance(s, slice):
            start, stop, step = s.indices(size)
            if step < 0:
                raise ShapeError(f"[getitem] steps must be positive, got {step} along axis {i}; flip() reverses an axis")
            return slice(start, stop if stop > start else start, step)
        at = operator.index(s)
        if not -size <= at < size:
            raise IndexRangeError(f"[getitem] index {at} is outside axis {i} of size {size}")
        return slice(at % size, at % size + 1, 1)

    def __getitem__(self, index: Any) -> NDArray:
        """A view; every axis stays, an int is a slice of one."""
        parts = index if isinstance(index, tuple) else (index,)
        if len(parts) != self.ndim:
            raise ShapeError(f"[getitem] needs an index per axis, got {len(parts)} for {self._shape}")
        offset, shape, strides = self._offset, [], []
        for axis, part in enumerate(parts):
            s = self.process_slice(part, axis)
            shape.append(len(range(s.start, s.stop, s.step)))
            strides.append(self._strides[axis] * s.step)
            offset += s.start * self._strides[axis]
        return NDArray.make(shape, strides, self._device, self._handle, offset)

    def __setitem__(self, index: Any, value: Any) -> None:
        """Write an array of as many elements, or a number, in place."""
        self[index]._write(value)

    def _write(self, value: Any) -> None:
        where = (self._handle, self._shape, self._strides, self._offset)
        if isinstance(value, np.ndarray):
            value = NDArray(value, device=self._device)
        if not isinstance(value, NDArray):
            self._device.mod.scalar_setitem(self.size, value, *where)
            return
        if value.size != self.size:
            raise ShapeError(f"[setitem] the number of elements must agree, got {value._shape} for {self._shape}")
        value = value.to(self._device)
        source = value._copy() if value._handle is self._handle else value.compact()
        self._device.mod.ewise_setitem(source._handle, *where)


def array(a: Any, dtype: Any = "float32", device: BackendDevice | None = None) -> NDArray:
    """A new array of the numbers in `a`."""
    return NDArray(a, device=device)


def empty(shape: Sequence[int], dtype: Any = "float32", device: BackendDevice | None = None) -> NDArray:
    """An array whose elements are whatever the memory holds."""
    return (device or default_device()).empty(shape, dtype)


def full(shape: Sequence[int], fill_value: float, dtype: Any = "float32", device: BackendDevice | None = None) -> NDArray:
    """An array of one number."""
    return (device or default_device()).full(shape, fill_value, dtype)


def broadcast_to(array: NDArray, new_shape: Sequence[int]) -> NDArray:
    return array.broadcast_to(new_shape)


def reshape(array: NDArray, new_shape: Sequence[int]) -> NDArray:
    return array.reshape(new_shape)


def maximum(a: NDArray, b: Any) -> NDArray:
    return a.maximum(b)


def log(a: NDArray) -> NDArray:
    return a.log()


def exp(a: NDArray) -> NDArray:
    return a.exp()


def tanh(a: NDArray) -> NDArray:
    return a.tanh()


def sum(a: NDArray, axis: Axes = None, keepdims: bool = False) -> NDArray:
    return a.sum(axis=axis, keepdims=keepdims)


def max(a: NDArray, axis: Axes = None, keepdims: bool = False) -> NDArray:
    return a.max(axis=axis, keepdims=keepdims)


def flip(a: NDArray, axes: Axes = None) -> NDArray:
    return a.flip(axes)
