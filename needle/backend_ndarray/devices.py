"""Devices: a name, and the module that holds its arrays and kernels."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import ModuleType
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

    def __init__(self, name: str, mod: ModuleType | None, shares_memory: bool = True) -> None:
        self.name = name
        self.mod: Any = mod
        self.shares_memory = shares_memory  # with the processor, so that numpy sees it

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, BackendDevice) and self.name == other.name)

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return self.name + "()"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.mod, name)

    def __deepcopy__(self, memo: Any) -> BackendDevice:
        return self  # a place, not memory

    def __reduce__(self) -> Any:
        return named, (self.name,)

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
    """The CUDA device of this process; `enabled()` says whether there is one.

    CUDA_VISIBLE_DEVICES says which of several it is: DeviceError for another index than 0.
    """
    if index != 0:
        raise DeviceError(f"[cuda] a process has one device, which CUDA_VISIBLE_DEVICES chooses, got index {index}")
    return _cuda()


@cache
def _cuda() -> BackendDevice:
    """Its extension is looked for when it is first asked for: where nvcc did not build it, there is none."""
    from .ndarray import NDArray

    try:
        extension: Any = import_module(".ndarray_backend_cuda", __package__)
    except ImportError:
        return BackendDevice("cuda", None, shares_memory=False)
    if extension.device_count() == 0:
        return BackendDevice("cuda", None, shares_memory=False)
    extension.register_ndarray(NDArray, ShapeError, IndexRangeError, DeviceError)
    EXTENSIONS[extension.Array] = extension
    choice.heed(extension.choose_product_precision)
    return BackendDevice("cuda", extension, shares_memory=False)


def default_device() -> BackendDevice:
    """Where arrays go when no device is named."""
    return _CPU


def named(name: str) -> BackendDevice:
    """The device of this name. Raises DeviceError where there is none."""
    for device in all_devices():
        if device.name == name:
            return device
    raise DeviceError(f"[named] no device {name!r}; there are {all_devices()}")


def all_devices() -> list[BackendDevice]:
    """Every device, enabled or not."""
    return [cpu(), cuda(), cpu_numpy()]
