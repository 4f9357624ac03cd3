"""What Python, numpy and other libraries ask of a tensor: its numbers, and its memory by numpy's protocol and DLPack.

They get the value, not the node: what is read or written through them is outside the graph, so no `detach` is needed
first, and writing to memory that a recorded computation still needs spoils its gradient.
Source: https://dmlc.github.io/dlpack
"""

from __future__ import annotations

from math import prod
from typing import Any, cast

import numpy

from .backend_selection import BACKEND, NDArray, all_devices, default_device
from .errors import DeviceError, DTypeError, ShapeError

CUDA = 2  # as DLPack counts devices


class Interop:
    """The protocols, for Tensor. Errors: ShapeError where one number is wanted and the tensor has more."""

    __slots__ = ()
    __array_ufunc__ = None  # numpy's operators leave `array * tensor` to Tensor, which stays in the graph
    shape: Any
    dtype: Any
    numpy: Any
    realize_cached_data: Any

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> numpy.ndarray:
        return numpy.array(self._memory(), dtype=dtype, copy=cast(bool, copy))

    def __dlpack__(self, **options: Any) -> Any:
        return self.realize_cached_data().__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        device: tuple[int, int] = self.realize_cached_data().__dlpack_device__()
        return device

    def _memory(self) -> numpy.ndarray:
        """The elements as a numpy array: of the same memory, unless a device holds it."""
        data = self.realize_cached_data()
        return cast(numpy.ndarray, data if isinstance(data, numpy.ndarray) else data.seen())

    def item(self) -> bool | int | float:
        """The one element, as a Python number. ShapeError for any other number of elements."""
        return self._only("item")

    def tolist(self) -> Any:
        """The elements as Python numbers in nested lists; of shape (), one number."""
        return self._memory().tolist()

    def numel(self) -> int:
        """The number of elements, as PyTorch calls it; `size` is numpy's name."""
        return self.size

    @property
    def size(self) -> int:
        """The number of elements."""
        return prod(self.shape)

    def _only(self, where: str, fix: str = "") -> bool | int | float:
        """The one element, for `where`. ShapeError if there is another number of them."""
        if prod(self.shape) != 1:
            raise ShapeError(f"[{where}] needs a tensor of one element, got shape {tuple(self.shape)}{fix}")
        return cast(float, self._memory().item())

    def __float__(self) -> float:
        return float(self._only("float"))

    def __int__(self) -> int:
        return int(self._only("int"))

    def __bool__(self) -> bool:
        return bool(self._only("bool", "; x.numpy().any() or .all() says which of its truth values counts"))

    def __index__(self) -> int:
        value = self._only("index")
        if isinstance(value, bool) or not isinstance(value, int):
            raise DTypeError(f"[index] needs a tensor of whole numbers, got {self.dtype}; int(x) cuts a number off")
        return value

    def __format__(self, spec: str) -> str:
        return str(self) if not spec else format(self._only("format", "; x.numpy() has the elements"), spec)

    def __len__(self) -> int:
        if not self.shape:
            raise ShapeError("[len] a tensor of shape () has no first axis; item() gives its number")
        return int(self.shape[0])


def from_numpy(array: numpy.ndarray, requires_grad: bool = False) -> Any:
    """A Tensor of the memory of a numpy array of any shape, whose dtype it keeps: writing to one changes the other.

    An array that is read-only, not in row-major order or not of this machine's byte order is copied. DTypeError for
    what is no numpy array, and for element types that tensors do not have: `Tensor(array)` converts those to float32.
    """
    from .tensor import Tensor

    if not isinstance(array, numpy.ndarray):
        raise DTypeError(f"[from_numpy] needs a numpy array, got {type(array).__name__}; Tensor(x) takes lists")
    if array.dtype.kind not in "biuf":
        raise DTypeError(f"[from_numpy] needs numbers, got {array.dtype}")
    if BACKEND == "nd":
        data = NDArray.sharing(array, default_device())
    else:
        data = numpy.require(array, array.dtype.newbyteorder("="), ["C", "W"])
    return Tensor.make_const(data, requires_grad=requires_grad and array.dtype.kind == "f")


def _from_cuda(x: Any, index: int) -> Any:
    """A Tensor of the memory of another library's array on cuda(index)."""
    from .backend_ndarray import cuda
    from .tensor import Tensor

    device = cuda(index)
    try:
        memory, shape, strides, offset = device.mod.from_dlpack(x.__dlpack__(stream=device.mod.stream()))
    except (BufferError, RuntimeError, ValueError) as refusal:
        raise DTypeError(f"[from_dlpack] {type(x).__name__} does not share its memory: {refusal}") from None
    return Tensor.make_const(NDArray.make(shape, strides, device, memory, offset))


def from_dlpack(x: Any) -> Any:
    """A Tensor of the memory of another library's array on the CPU or a cuda(), of any shape, by the DLPack protocol.

    Writing to one changes the other, unless the array is read-only or not in row-major order: then it is copied.
    DTypeError for what does not speak the protocol or holds other elements, DeviceError for memory of another device.
    """
    if not hasattr(x, "__dlpack__") or not hasattr(x, "__dlpack_device__"):
        raise DTypeError(f"[from_dlpack] needs an array that has __dlpack__, got {type(x).__name__}")
    device, index = map(int, x.__dlpack_device__())
    if device == CUDA and any(repr(each) == "cuda()" and each.enabled() for each in all_devices()):
        return _from_cuda(x, index)
    if device != 1:
        raise DeviceError(f"[from_dlpack] needs memory of the CPU, got that of DLPack device {x.__dlpack_device__()}")
    try:
        return from_numpy(numpy.from_dlpack(x))
    except (BufferError, RuntimeError) as refusal:
        raise DTypeError(f"[from_dlpack] {type(x).__name__} does not share its memory: {refusal}") from None
