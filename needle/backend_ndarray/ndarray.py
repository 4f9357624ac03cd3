"""NDArray: a view (shape, strides, offset) of a flat block of memory on some device.

The block knows the dtype of its elements and the module whose functions work on it: on cpu() that is the compiled one
for float32, and numpy for bool, int32, int64 and float64. Indexing, reshaping, permuting and broadcasting make views of
the same memory with the strides that numpy would give; arithmetic makes new, compact arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from needle.errors import DeviceError, DTypeError, IndexRangeError, ShapeError
from needle.reprs import array_text
from needle.types import dtype_of

from .arithmetic import Arithmetic, Axes
from .devices import BackendDevice, all_devices, cpu, cpu_numpy, cuda, default_device
from .layout import compact_strides, is_row_major
from .ndarray_backend_cpu import register_ndarray
from .views import Views

__all__ = [
    "BackendDevice", "NDArray", "all_devices", "array", "broadcast_to", "cpu", "cpu_numpy", "cuda", "default_device",
    "empty", "exp", "flip", "full", "log", "max", "maximum", "reshape", "sum", "tanh",
]  # fmt: skip


class NDArray(Views, Arithmetic):
    """A multidimensional array: of an NDArray (copied), a numpy array, a nested list or a number.

    `dtype` is one of needle.types.DTYPES; by default that of an NDArray, else float32. DTypeError for other dtypes and
    for data that are not numbers, ShapeError for lists of uneven lengths.
    """

    __slots__ = ("_compact", "_device", "_handle", "_offset", "_shape", "_strides")
    __array_priority__ = 1000  # numpy scalars leave `2 * a` to NDArray

    _shape: tuple[int, ...]
    _strides: tuple[int, ...]
    _offset: int
    _device: BackendDevice
    _handle: Any
    _compact: bool | None  # None: not known yet

    def __init__(self, other: Any, device: BackendDevice | None = None, dtype: Any = None) -> None:
        if isinstance(other, NDArray):
            made = other.to(other._device if device is None else device).astype(other.dtype if dtype is None else dtype)
            made = made._copy() if made._handle is other._handle else made
        else:
            values, dtype = numbers(other), dtype_of("NDArray", "float32" if dtype is None else dtype)
            made = NDArray.make(values.shape, device=device, dtype=dtype)
            made._handle.module.from_numpy(values, made._handle)
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
        dtype: str = "float32",
    ) -> NDArray:
        """A view of `handle`, or of a new uninitialised block of `dtype` when there is none."""
        new = NDArray.__new__(NDArray)
        new._shape = shape = tuple(shape)
        new._strides = compact_strides(shape) if strides is None else tuple(strides)
        new._offset = offset
        new._device = device = default_device() if device is None else device
        if handle is not None:
            new._handle = handle
            new._compact = None
            return new
        if not isinstance(device, BackendDevice):
            raise DeviceError(f"[NDArray] device must be one such as needle.cpu(), got {device!r}")
        if dtype == "float32" and device.mod is not None:
            new._handle = device.mod.Array(prod(shape))
        else:
            new._handle = device.holder(dtype).Array(prod(shape), dtype)
        new._compact = True if strides is None else None
        return new

    @staticmethod
    def sharing(values: np.ndarray, device: BackendDevice | None = None) -> NDArray:
        """An array of the same memory where `values` are writable and in row-major order, else of a copy."""
        if not isinstance(values, np.ndarray):
            raise DTypeError(f"[NDArray] needs a numpy array, got {type(values).__name__}")
        device, dtype = _known(device), dtype_of("NDArray", values.dtype)
        values = np.require(values, dtype, ("C", "W"))
        return NDArray.make(values.shape, None, device, device.holder(dtype).lent(values))

    def shared(self) -> np.ndarray:
        """The elements as a numpy array of the same memory: writing to one changes the other."""
        handle = self._handle
        return handle.module.shared(handle, self._shape, self._strides, self._offset)

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

    @property
    def flat(self) -> NDArray:
        """The elements of a compact array as one axis: a view, so `a.flat[j] += 1` changes a."""
        return self.reshape((self.size,))

    def __repr__(self) -> str:
        if not hasattr(self, "_handle"):
            return "NDArray(<no data yet>)"
        dtype = [] if self.dtype == "float32" else [f"dtype={self.dtype}"]
        return array_text(self.shared(), "NDArray", [*dtype, f"device={self._device}"])

    def __str__(self) -> str:
        return str(self.shared())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The elements for numpy: the same memory unless `dtype` differs or `copy` asks for a copy."""
        return np.array(self.shared(), dtype=dtype, copy=copy)

    def __dlpack__(self, **options: Any) -> Any:
        """The same memory for other libraries, by the DLPack protocol: `torch.from_dlpack(array)`."""
        return self.shared().__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0  # kDLCPU

    def __copy__(self) -> NDArray:
        return self._copy()

    def __deepcopy__(self, memo: Any) -> NDArray:
        return self._copy()

    def __reduce__(self) -> Any:
        return NDArray, (self.shared(), self._device, self.dtype)

    # -- moving and copying ------------------------------------------------------------------------------------------

    def numpy(self) -> np.ndarray:
        """A numpy copy."""
        return self._handle.module.to_numpy(self._handle, self._shape, self._strides, self._offset)

    def to(self, device: BackendDevice) -> NDArray:
        """This array on `device`; itself when it is there already."""
        return self if device == self._device else NDArray(self.shared(), device=device, dtype=self.dtype)

    def astype(self, dtype: Any) -> NDArray:
        """The elements as `dtype`, floats cut off towards zero for integers; itself when they are so already.

        What becomes of NaN and of numbers that an integer dtype does not hold is undefined, as in numpy.
        """
        dtype = dtype_of("astype", dtype)
        if dtype == self.dtype:
            return self
        with np.errstate(all="ignore"):
            return NDArray.sharing(self.shared().astype(dtype, order="C"), self._device)

    def fill(self, value: float) -> None:
        """Every element becomes `value`, in place."""
        if self._handle.dtype == "float32" and isinstance(value, float) and self.is_compact():
            self._handle.module.fill(self._handle, value)
        else:
            self._write(value)

    def is_compact(self) -> bool:
        """Whether this is the whole of its memory, in row-major order."""
        if self._compact is None:
            whole = self._offset == 0 and prod(self._shape) == self._handle.size
            self._compact = whole and is_row_major(self._shape, self._strides)
        return self._compact

    def compact(self) -> NDArray:
        """This array in memory of its own, row-major; itself when it is so already."""
        return self if self._compact or self.is_compact() else self._copy()

    def _copy(self) -> NDArray:
        out = NDArray.make(self._shape, device=self._device, dtype=self.dtype)
        self._handle.module.compact(self._handle, out._handle, self._shape, self._strides, self._offset)
        return out


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
    return _known(device).empty(tuple(shape), dtype)


def full(
    shape: Sequence[int], fill_value: float, dtype: Any = "float32", device: BackendDevice | None = None
) -> NDArray:
    """An array of one number."""
    return _known(device).full(tuple(shape), fill_value, dtype)


def _known(device: Any) -> BackendDevice:
    if device is not None and not isinstance(device, BackendDevice):
        raise DeviceError(f"[NDArray] device must be one such as needle.cpu(), got {device!r}")
    return device or default_device()


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


register_ndarray(NDArray, ShapeError, IndexRangeError)
