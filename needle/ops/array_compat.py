"""The few array operations that numpy and NDArray spell differently. Views wherever possible; results are arrays."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy

from ..backend_ndarray.kernels import kernels
from ..backend_ndarray.ndarray import NDArray
from ..errors import DeviceError
from ..types import promote
from .dtype_rules import total_dtype
from .shape_rules import NUMBER, broadcast_shape, replaced, without


def permute(x: Any, order: Sequence[int]) -> Any:
    """A view whose axis i is axis order[i] of x."""
    return x.transpose(order) if isinstance(x, numpy.ndarray) else x.permute(tuple(order))


def reshape(x: Any, shape: Sequence[int]) -> Any:
    """The elements of x in order as `shape`: a view where x is dense, a copy otherwise."""
    return x.reshape(shape) if isinstance(x, numpy.ndarray) else x.compact().reshape(tuple(shape))


def broadcast_to(x: Any, shape: Sequence[int]) -> Any:
    """A view of x repeated to `shape` by numpy's rule; numpy arrays are copied, for they must be writable."""
    if isinstance(x, numpy.ndarray):
        return numpy.broadcast_to(x, shape).copy()
    return x.broadcast_to(tuple(shape))


def aligned(a: Any, b: Any) -> tuple[Any, Any]:
    """Both arrays in one shape and, for the kernels' sake, one kind of memory, as numpy's operators have it."""
    if isinstance(a, numpy.ndarray):
        return a, b
    if a._handle.__class__ is not b._handle.__class__ and a._device == b._device:
        dtype = promote(a.dtype, b.dtype)
        a, b = a.astype(dtype), b.astype(dtype)
    if a._device is not b._device and a._device != b._device:
        raise DeviceError(f"[elementwise] operands must be on one device, got {a.device} and {b.device}")
    if a._shape == b._shape:
        return a, b
    shape = broadcast_shape("broadcast", a.shape, b.shape)
    return broadcast_to(a, shape), broadcast_to(b, shape)


def take(x: Any, axis: int, index: int) -> Any:
    """x[..., index, ...] with that axis gone, as a view."""
    if isinstance(x, numpy.ndarray):
        return x[(slice(None),) * axis + (index,)]
    shape = x.shape[:axis] + x.shape[axis + 1 :]
    strides = x.strides[:axis] + x.strides[axis + 1 :]
    return view(x, shape, strides, index * x.strides[axis])


def stack(parts: Sequence[Any], axis: int) -> Any:
    """The arrays along a new axis."""
    first = parts[0]
    if isinstance(first, numpy.ndarray):
        return numpy.stack(parts, axis)
    return _joined(parts, (*first.shape[:axis], len(parts), *first.shape[axis:]), axis, [1] * len(parts))


def truth(x: Any) -> Any:
    """x, zeros and ones, as an array of bool."""
    return x.astype("bool")


def as_mask(mask: Any, like: Any) -> Any:
    """A mask, true where it is not 0, as an array that kernels take beside `like`: of float32 beside float32."""
    if isinstance(mask, numpy.ndarray) or mask.dtype == like.dtype == "float32":
        return mask
    return mask.astype("bool").astype("float32" if like.dtype == "float32" else "bool")


def concat(parts: Sequence[Any], axis: int) -> Any:
    """The arrays one after the other along an axis."""
    first = parts[0]
    if isinstance(first, numpy.ndarray):
        return numpy.concatenate(parts, axis)
    sizes = [part.shape[axis] for part in parts]
    return _joined(parts, replaced(first.shape, axis, sum(sizes)), axis, sizes)


def _joined(parts: Sequence[NDArray], shape: Sequence[int], axis: int, sizes: Sequence[int]) -> NDArray:
    """A new array of `shape` that holds the parts one after the other along `axis`, where they have these sizes."""
    out = NDArray.make(shape, device=parts[0].device, dtype=reduce(promote, [part.dtype for part in parts]))
    index, end = [slice(None)] * len(shape), 0
    for part, size in zip(parts, sizes, strict=True):
        index[axis], end = slice(end, end + size), end + size
        out[tuple(index)] = part
    return out


def view(x: NDArray, shape: Sequence[int], strides: Sequence[int], offset: int) -> NDArray:
    """The memory of x from its element `offset` on, seen with another shape and strides."""
    return NDArray.make(shape, strides=strides, device=x.device, handle=x._handle, offset=x._offset + offset)


def write(to: Any, values: Any) -> None:
    """Every element of `to`, a view, becomes that of `values`."""
    if isinstance(to, numpy.ndarray):
        to[...] = values
    else:
        to._write(values)


def filled(like: Any, shape: Sequence[int], value: float = 0.0) -> Any:
    """A new array of `shape` holding `value`, of the kind, dtype and device of `like`."""
    if isinstance(like, numpy.ndarray):
        return numpy.full(shape, value, dtype=like.dtype)
    return like.device.full(tuple(shape), value, like.dtype)


def constant(like: Any, values: numpy.ndarray, dtype: Any = None) -> Any:
    """`values` as an array of the kind and device of `like`, and of its dtype if no other is given."""
    if isinstance(like, numpy.ndarray):
        return values.astype(dtype or like.dtype)
    return NDArray(values, device=like.device, dtype=dtype or like.dtype)


def zeros(like: Any, shape: Sequence[int]) -> Any:
    """Zeros of `shape`, of the kind, dtype and device of `like`, for reading only: one number in memory."""
    if isinstance(like, numpy.ndarray):
        return numpy.broadcast_to(numpy.zeros((), dtype=like.dtype), shape)
    return broadcast_to(filled(like, (1,) * len(shape)), shape)


def total(x: Any, axes: tuple[int, ...] | None) -> Any:
    """The sum over `axes` (None: all)."""
    if axes == ():
        return x.astype(total_dtype(str(x.dtype)))
    return shaped(kernels(x).sum(x, axes), NUMBER if axes is None else without(x.shape, axes))


def shaped(y: Any, shape: tuple[int, ...]) -> Any:
    """y, one number where shapes differ: (1,) as NDArray has it or () as numpy does."""
    return y if y.shape == shape else reshape(y, shape)


def flip(x: Any, axes: tuple[int, ...]) -> Any:
    """The elements in reverse order along `axes`."""
    return numpy.flip(x, axes) if isinstance(x, numpy.ndarray) else x.flip(axes)


def cast(x: Any, dtype: str) -> Any:
    """The elements as another dtype; x itself where it has that dtype."""
    with numpy.errstate(all="ignore"):
        return x.astype(dtype, copy=False) if isinstance(x, numpy.ndarray) else x.astype(dtype)


def copied(x: Any) -> Any:
    """The elements in memory of their own."""
    return x.copy() if isinstance(x, numpy.ndarray) else x._copy()
