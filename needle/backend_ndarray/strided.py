"""A strided array: a flat block of memory, and the shape, strides and offset with which it is walked.

The block knows the dtype of its elements and the module whose functions work on it: on cpu() that is the compiled one
for float32, and numpy for every other dtype.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from types import ModuleType
from typing import Any, Protocol, Self

import numpy as np

from needle.errors import DeviceError, DTypeError
from needle.types import dtype_of

from . import ndarray  # for NDArray, the class of every array that is made here
from .devices import BackendDevice, default_device
from .kernels import of_elements
from .layout import compact_strides, is_row_major


class Memory(Protocol):
    """A flat block of elements: an Array of the compiled backend or of ndarray_backend_numpy."""

    @property
    def size(self) -> int: ...
    @property
    def dtype(self) -> str: ...
    @property
    def module(self) -> ModuleType: ...


class StridedArray:
    """Element (i, j, ...) is memory[offset + i strides[0] + j strides[1] + ...]; several arrays may share a memory.

    `make` gives them all one class, NDArray, whose methods are here, in `Views` and in `Arithmetic`.
    """

    __slots__ = ("_compact", "_device", "_handle", "_offset", "_shape", "_strides")

    _shape: tuple[int, ...]
    _strides: tuple[int, ...]
    _offset: int
    _device: BackendDevice
    _handle: Memory
    _compact: bool | None  # whether it is the whole of its memory in row-major order; None: not known yet

    @staticmethod
    def compact_strides(shape: Sequence[int]) -> tuple[int, ...]:
        """Strides, in elements, of a row-major array of this shape."""
        return compact_strides(tuple(shape))

    @staticmethod
    def make(
        shape: Sequence[int],
        strides: Sequence[int] | None = None,
        device: BackendDevice | None = None,
        handle: Memory | None = None,
        offset: int = 0,
        dtype: str = "float32",
    ) -> ndarray.NDArray:
        """A view of `handle`, or of a new uninitialised block of `dtype` when there is none."""
        new = ndarray.NDArray.__new__(ndarray.NDArray)
        new._shape = shape = tuple(shape)
        new._strides = compact_strides(shape) if strides is None else tuple(strides)
        new._offset = offset
        new._device = device = default_device() if device is None else device
        if handle is not None:
            new._handle = handle
            new._compact = None
            return new
        known_device(device)
        if dtype == "float32" and device.mod is not None:
            new._handle = device.mod.Array(prod(shape))
        else:
            new._handle = device.block(prod(shape), dtype)
        new._compact = True if strides is None else None
        return new

    @staticmethod
    def sharing(values: np.ndarray, device: BackendDevice | None = None) -> ndarray.NDArray:
        """An array of the same memory where `values` are writable and in row-major order, else of a copy."""
        if not isinstance(values, np.ndarray):
            raise DTypeError(f"[NDArray] needs a numpy array, got {type(values).__name__}")
        device, dtype = known_device(device), dtype_of("NDArray", values.dtype)
        if not device.shares_memory:
            return ndarray.NDArray(values, device, dtype)
        values = np.require(values, dtype, ("C", "W"))
        return StridedArray.make(values.shape, None, device, device.holder(dtype).wrap(values))

    def shared(self) -> np.ndarray:
        """The elements as a numpy array of the same memory: writing to one changes the other.

        DeviceError for an array on a device whose memory is not the processor's.
        """
        handle = self._handle
        if not self._device.shares_memory:
            raise DeviceError(f"[shared] the memory of {self._device} is not the processor's; numpy() copies it")
        return handle.module.shared(handle, self._shape, self._strides, self._offset)

    def seen(self) -> np.ndarray:
        """The elements for reading: the same memory where the processor can, else a copy."""
        return self.shared() if self._device.shares_memory else self.numpy()

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each axis."""
        return self._shape

    @property
    def strides(self) -> tuple[int, ...]:
        """Steps along each axis, in elements."""
        return self._strides

    @property
    def device(self) -> BackendDevice:
        """The device that holds the memory."""
        return self._device

    @property
    def dtype(self) -> str:
        """The name of the elements' type: one of needle.types.DTYPES."""
        return self._handle.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self._shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return prod(self._shape)

    def numpy(self) -> np.ndarray:
        """A numpy copy."""
        return self._handle.module.to_numpy(self._handle, self._shape, self._strides, self._offset)

    def to(self, device: BackendDevice) -> Self | ndarray.NDArray:
        """This array on `device`; itself when it is there already."""
        return self if device == self._device else ndarray.NDArray(self.seen(), device=device, dtype=self.dtype)

    def astype(self, dtype: Any) -> Self | ndarray.NDArray:
        """The elements as `dtype`, floats cut off towards zero for integers; itself when they are so already.

        What becomes of NaN and of numbers that an integer dtype does not hold is undefined, as in numpy.
        """
        dtype = dtype_of("astype", dtype)
        if dtype == self.dtype:
            return self
        if not self._device.shares_memory:
            return of_elements().cast(self, dtype)
        with np.errstate(all="ignore"):
            return StridedArray.sharing(self.shared().astype(dtype, order="C"), self._device)

    def is_compact(self) -> bool:
        """Whether this is the whole of its memory, in row-major order."""
        if self._compact is None:
            whole = self._offset == 0 and prod(self._shape) == self._handle.size
            self._compact = whole and is_row_major(self._shape, self._strides)
        return self._compact

    def compact(self) -> Self | ndarray.NDArray:
        """This array in memory of its own, row-major; itself when it is so already."""
        return self if self._compact or self.is_compact() else self._copy()

    def _copy(self) -> ndarray.NDArray:
        out = StridedArray.make(self._shape, device=self._device, dtype=self.dtype)
        self._handle.module.compact(self._handle, out._handle, self._shape, self._strides, self._offset)
        return out


def known_device(device: Any) -> BackendDevice:
    """The device, or the default one for None; DeviceError for anything else."""
    if device is not None and not isinstance(device, BackendDevice):
        raise DeviceError(f"[NDArray] device must be one such as needle.cpu(), got {device!r}")
    return device or default_device()
