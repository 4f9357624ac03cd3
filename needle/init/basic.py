"""Constants and random draws. Every draw comes from numpy's global generator, as float64, in the order of the calls.

While a graph is traced, draws are recorded instead: they follow from a counter, and each call of the graph has its own.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy

from ..autograd import Tensor
from ..backend_selection import default_device
from ..errors import DeviceError, DTypeError, SettingError, ShapeError
from ..types import INTEGERS, number_of

traced: Any = None  # the Draws of the graph that is being traced, which belongs to the whole process as LAZY_MODE does
LARGEST = 2**46  # elements: more than any machine has


def manual_seed(seed: int) -> None:
    """Start numpy's global generator, from which everything here draws numbers of any shape, anew from `seed`.

    Raises SettingError unless it is a whole number in 0..2^32 - 1.
    """
    if not isinstance(seed, INTEGERS) or not 0 <= seed < 2**32:
        raise SettingError(f"[manual_seed] needs a whole number in 0..{2**32 - 1}, got {seed!r:.40}")
    numpy.random.seed(int(seed))


def rand(
    *shape: int, low: float = 0.0, high: float = 1.0, device: Any = None, dtype: Any = "float32",
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """x ~ U(low, high), elementwise independent."""
    device = _device(device, shape)
    low, high = _numbers("rand", low, high)
    if traced:
        return traced.as_dtype(traced.uniform(shape) * (high - low) + low, dtype)  # type: ignore[no-any-return]
    array = _drawn(device.rand, shape, dtype) * (high - low) + low
    return Tensor(array, device=device, dtype=dtype, requires_grad=requires_grad)


def randn(
    *shape: int, mean: float = 0.0, std: float = 1.0, device: Any = None, dtype: Any = "float32",
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """x ~ N(mean, std^2), elementwise independent."""
    device = _device(device, shape)
    mean, std = _numbers("randn", mean, std)
    if traced:
        return traced.as_dtype(traced.normal(shape) * std + mean, dtype)  # type: ignore[no-any-return]
    array = _drawn(device.randn, shape, dtype) * std + mean
    return Tensor(array, device=device, dtype=dtype, requires_grad=requires_grad)


def randb(*shape: int, p: float = 0.5, device: Any = None, dtype: Any = "bool", requires_grad: bool = False) -> Tensor:
    """x = 1 with probability p, else 0, elementwise independent. DTypeError for a p that is no number."""
    device = _device(device, shape)
    (p,) = _numbers("randb", p)
    if traced:
        return traced.as_dtype(traced.uniform(shape) < p, dtype)  # type: ignore[no-any-return]
    return Tensor(device.rand(*shape) <= p, device=device, dtype=dtype, requires_grad=requires_grad)


def constant(
    *shape: int, c: float = 1.0, device: Any = None, dtype: Any = "float32", requires_grad: bool = False
) -> Tensor:
    """x = c everywhere."""
    device = _device(device, shape)
    (c,) = _numbers("constant", c)
    return Tensor(device.full(shape, c, dtype=dtype), device=device, dtype=dtype, requires_grad=requires_grad)


def ones(*shape: int, device: Any = None, dtype: Any = "float32", requires_grad: bool = False) -> Tensor:
    """x = 1 everywhere."""
    return constant(*shape, c=1.0, device=device, dtype=dtype, requires_grad=requires_grad)


def zeros(*shape: int, device: Any = None, dtype: Any = "float32", requires_grad: bool = False) -> Tensor:
    """x = 0 everywhere."""
    return constant(*shape, c=0.0, device=device, dtype=dtype, requires_grad=requires_grad)


def one_hot(n: int, i: Tensor, device: Any = None, dtype: Any = "float32", requires_grad: bool = False) -> Tensor:
    """y[k, j] = 1 where j = i[k], else 0. `i` is a Tensor of ids in 0..n-1; y has one axis more, of size n."""
    ids = _tensor("one_hot", i)
    device = _device(ids.device if device is None else device, (n,))
    array = device.one_hot(n, ids.numpy().astype("int64"), dtype=dtype)
    return Tensor(array, device=device, dtype=dtype, requires_grad=requires_grad)


def zeros_like(array: Tensor, *, device: Any = None, requires_grad: bool = False) -> Tensor:
    """x = 0 everywhere, with the shape, dtype and device of `array`. DTypeError if that is no Tensor."""
    device = _tensor("zeros_like", array).device if device is None else device
    return zeros(*_tensor("zeros_like", array).shape, device=device, dtype=array.dtype, requires_grad=requires_grad)


def ones_like(array: Tensor, *, device: Any = None, requires_grad: bool = False) -> Tensor:
    """x = 1 everywhere, with the shape, dtype and device of `array`. DTypeError if that is no Tensor."""
    device = _tensor("ones_like", array).device if device is None else device
    return ones(*_tensor("ones_like", array).shape, device=device, dtype=array.dtype, requires_grad=requires_grad)


def _device(device: Any, shape: tuple[int, ...]) -> Any:
    """The device asked for, after a check of the shape that belongs to every call."""
    if not all(isinstance(size, INTEGERS) for size in shape):
        raise ShapeError(f"[init] sizes must be whole numbers, got {shape}")
    sizes = [int(size) for size in shape]  # which asks for the value of one that stays open
    if min(sizes, default=0) < 0:
        raise ShapeError(f"[init] sizes must not be negative, got {shape}")
    count = prod(size for size in sizes if size)  # numpy counts no zeros either
    if count > LARGEST or max(sizes, default=0) > LARGEST:
        raise MemoryError(f"[init] no machine holds {shape}")
    device = default_device() if device is None else device
    if not hasattr(device, "randn"):
        raise DeviceError(f"[init] device must be one such as needle.cpu(), got {device!r}")
    return device


def _numbers(where: str, *values: Any) -> list[Any]:
    """The values as Python numbers. DTypeError unless they are numbers."""
    return [number_of(where, value, "float64") for value in values]


def _tensor(where: str, array: Any) -> Tensor:
    """`array`, if it is a Tensor; DTypeError else."""
    if not isinstance(array, Tensor):
        raise DTypeError(f"[{where}] needs a Tensor, got {type(array).__name__}")
    return array


def _drawn(draw: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """The draws of a device, in float64 where they end as that."""
    return draw(*shape, dtype="float64") if str(dtype) == "float64" else draw(*shape)
