"""Devices: a name, and the module that holds its arrays and kernels."""

from __future__ import annotations

from functools import cache, partial
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy

from needle.errors import DeviceError, IndexRangeError, ShapeError
from needle.precision import choice
from needle.types import dtype_of

from . import ndarray_backend_cpu, ndarray_backend_numpy
from .kernels import EXTENSIONS
from .plain.gather import one_hot

if TYPE_CHECKING:
    from .ndarray import NDArray


class BackendDevice:
    """Where arrays live; attributes that it lacks are those of its module: `device.ewise_add`, `device.__tile_size__`.

    The module holds arrays of float32; those of every other dtype are numpy's. Random numbers are numpy's too, drawn as
    float64 and then cast, so that they are the same on every device. Methods raise DTypeError for unknown dtypes.
    """

    def __init__(
        self, name: str, mod: ModuleType | SimpleNamespace | None, shares_memory: bool = True, index: int = 0
    ) -> None:
        self.name = name
        self.index = index  # of those of one name
        self.mod: Any = mod
        self.shares_memory = shares_memory  # with the processor, so that numpy sees it

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, BackendDevice) and (self.name, self.index) == (other.name, other.index)

    def __hash__(self) -> int:
        return hash((self.name, self.index))

    def __repr__(self) -> str:
        return f"{self.name}({self.index or ''})"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.mod, name)

    def __deepcopy__(self, memo: Any) -> BackendDevice:
        return self  # a place, not memory

    def __reduce__(self) -> Any:
        return named, (self.name, self.index)

    def enabled(self) -> bool:
        """Whether arrays can be made on this device."""
        return self.mod is not None

    def holder(self, dtype: str) -> Any:
        """The module that holds this device's arrays of a dtype. DeviceError when the device is not available."""
        if self.mod is None:
            enabled = [each for each in all_devices() if each.enabled()]
            raise DeviceError(f"[{self}] the device is not available; enabled are {enabled}")
        if dtype == "float32":
            return self.mod
        return ndarray_backend_numpy if self.shares_memory else self.mod

    def block(self, size: int, dtype: str) -> Any:
        """A new flat block of memory. DeviceError when the device is not available."""
        holder = self.holder(dtype)
        if holder is ndarray_backend_numpy:
            return holder.Array(size, dtype)
        return holder.Array(size) if dtype == "float32" else holder.Elements(size, dtype)

    def rand(self, *shape: int, dtype: Any = "float32") -> NDArray:
        """Uniform on [0, 1)."""
        return self._array(numpy.random.rand(*shape), dtype)

    def randn(self, *shape: int, dtype: Any = "float32") -> NDArray:
        """Standard normal."""
        return self._array(numpy.random.randn(*shape), dtype)

    def one_hot(self, n: int, i: Any, dtype: Any = "float32") -> NDArray:
        """Rows of the n by n identity: shape i.shape + (n,). An index outside -n..n-1 is an IndexError."""
        return self._array(one_hot(n, i, dtype_of("one_hot", dtype)), dtype)

    def empty(self, shape: int | tuple[int, ...], dtype: Any = "float32") -> NDArray:
        """An array whose elements are whatever the memory holds."""
        from .ndarray import NDArray

        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        return NDArray.make(shape, device=self, dtype=dtype_of("empty", dtype))

    def full(self, shape: int | tuple[int, ...], fill_value: float, dtype: Any = "float32") -> NDArray:
        """An array of one number."""
        array = self.empty(shape, dtype)
        array.fill(fill_value)
        return array

    def _array(self, values: Any, dtype: Any) -> NDArray:
        from .ndarray import NDArray

        return NDArray(values, device=self, dtype=dtype)


_CPU = BackendDevice("cpu", ndarray_backend_cpu)
_CPU_NUMPY = BackendDevice("cpu_numpy", ndarray_backend_numpy)


def cpu() -> BackendDevice:
    """The compiled kernels on this processor."""
    return _CPU


def cpu_numpy() -> BackendDevice:
    """numpy on this processor: the reference implementation of every kernel."""
    return _CPU_NUMPY


def cuda(index: int = 0) -> BackendDevice:
    """A CUDA device by its number; `enabled()` says of the first, `cuda()`, whether there is any.

    CUDA_VISIBLE_DEVICES says which devices a process sees, and in what order. DeviceError for a number of none.
    """
    devices = _cuda()
    if index.__class__ is not int or not 0 <= index < len(devices):
        sees = f"{len(devices)} CUDA devices, {devices}" if devices[0].enabled() else "no CUDA device"
        raise DeviceError(f"[cuda] the index must be that of a device, and this process sees {sees}; got {index!r}")
    return devices[index]


# What no operand places: in the module of a device it is on that one.
PLACED = ("Array", "Elements", "device_name", "stream", "synchronize")


@cache
def _cuda() -> list[BackendDevice]:
    """Every device of the extension, which is looked for when it is first asked for: nvcc may not have built it.

    Where there is none, one device that is not enabled.
    """
    from .ndarray import NDArray

    try:
        extension: Any = import_module(".ndarray_backend_cuda", __package__)
    except ImportError:
        return [BackendDevice("cuda", None, shares_memory=False)]
    if extension.device_count() == 0:
        return [BackendDevice("cuda", None, shares_memory=False)]
    extension.register_ndarray(NDArray, ShapeError, IndexRangeError, DeviceError)
    EXTENSIONS[extension.Array] = extension
    choice.heed(extension.choose_product_precision)

    def module(index: int) -> Any:
        placed = {name: partial(getattr(extension, name), device=index) for name in PLACED}
        return SimpleNamespace(**{**vars(extension), **placed})

    devices = [BackendDevice("cuda", extension, shares_memory=False)]
    later = range(1, extension.device_count())
    return devices + [BackendDevice("cuda", module(index), False, index) for index in later]


def default_device() -> BackendDevice:
    """Where arrays go when no device is named."""
    return _CPU


def named(name: str, index: int = 0) -> BackendDevice:
    """The device of this name, and of those the one of this number. Raises DeviceError where there is none."""
    for device in all_devices():
        if (device.name, device.index) == (name, index):
            return device
    number = f" of number {index}" if index else ""
    raise DeviceError(f"[named] no device {name!r}{number}; there are {all_devices()}")


def all_devices() -> list[BackendDevice]:
    """Every device, enabled or not."""
    return [cpu(), *_cuda(), cpu_numpy()]
