"""Views of an NDArray's memory, with the strides that numpy would give, and writing through them.

An array is a flat block of memory, a shape, strides and an offset (strided.py): element (i, j) of a matrix is
memory[offset + i strides[0] + j strides[1]]. Exchanging the strides transposes it, a stride of 0 repeats a row, twice
the stride takes every second row: all in the same memory, in time that does not depend on how many elements there are.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from needle.errors import BroadcastError, IndexRangeError, ShapeError
from needle.types import held

from . import ndarray
from .layout import Axes, as_axes, distinct_axes, whole
from .strided import StridedArray

if TYPE_CHECKING:
    from .ndarray import NDArray


class Views(StridedArray):
    """Reshaping, permuting, broadcasting and indexing: `make` with other strides. Only flip and pad copy."""

    __slots__ = ()

    def as_strided(self, shape: Sequence[int], strides: Sequence[int]) -> NDArray:
        """The same memory with another shape and strides, unchecked until it is read."""
        if len(shape) != len(strides):
            raise ShapeError(f"[as_strided] needs a stride per axis, got {tuple(strides)} for {tuple(shape)}")
        return self.make(shape, strides, self._device, self._handle, self._offset)

    def reshape(self, new_shape: int | Sequence[int]) -> NDArray:
        """The same elements in row-major order with another shape; one size may be -1. A view: never copies.

        ShapeError (a ValueError) when the sizes do not agree or the array is not compact.
        """
        shape = (new_shape,) if isinstance(new_shape, int) else tuple(new_shape)
        size, known = prod(self._shape), -prod(shape)
        if known.__class__ is not int:  # nor is one of them
            return self.reshape([whole("reshape", n) for n in shape])
        if shape.count(-1) == 1 and known > 0 and size % known == 0:
            shape = tuple(size // known if n == -1 else n for n in shape)
        if prod(shape) != size or any(n < 0 for n in shape):
            raise ShapeError(f"[reshape] the number of elements must stay the same, got {self._shape} to {shape}")
        if not self.is_compact():
            raise ShapeError(
                f"[reshape] needs a compact array, got strides {self._strides} for {self._shape}; compact() makes one"
            )
        return self.make(shape, None, self._device, self._handle)

    def permute(self, new_axes: Sequence[int]) -> NDArray:
        """The axes in another order: axis k of the result is axis new_axes[k]. A view."""
        axes = tuple(new_axes)
        if sorted(axes) != list(range(len(self._shape))):
            raise ShapeError(f"[permute] needs each of the axes 0..{len(self._shape) - 1} once, got {axes}")
        shape, strides = tuple(self._shape[a] for a in axes), tuple(self._strides[a] for a in axes)
        return self.make(shape, strides, self._device, self._handle, self._offset)

    def broadcast_to(self, new_shape: Sequence[int]) -> NDArray:
        """Axes of size one, and new leading axes, repeat. A view whose strides are 0 there.

        BroadcastError (a ValueError and an AssertionError) when another axis would have to change.
        """
        shape = tuple(new_shape)
        lead = len(shape) - len(self._shape)
        if lead < 0 or any(n not in (1, m) for n, m in zip(self._shape, shape[lead:], strict=True)):
            raise BroadcastError(f"[broadcast_to] sizes must be equal or 1, got {self._shape} to {shape}")
        strides = (0,) * lead + tuple(
            0 if n == 1 else stride for n, stride in zip(self._shape, self._strides, strict=True)
        )
        return self.make(shape, strides, self._device, self._handle, self._offset)

    def flip(self, axes: Axes = None) -> NDArray:
        """The axes run backwards, in a compact copy."""
        strides, offset = list(self._strides), self._offset
        for axis in distinct_axes("flip", len(self._shape), as_axes(axes)):
            offset += (self._shape[axis] - 1) * strides[axis] * (self._shape[axis] > 0)
            strides[axis] = -strides[axis]
        return self.make(self._shape, strides, self._device, self._handle, offset)._copy()

    def pad(self, axes: Sequence[tuple[int, int]]) -> NDArray:
        """Zeros around the array: a (before, after) for each axis."""
        if len(axes) != len(self._shape) or any(n < 0 for pair in axes for n in pair):
            raise ShapeError(f"[pad] needs a (before, after) for each of {len(self._shape)} axes, got {tuple(axes)}")
        shape = tuple(n + left + right for n, (left, right) in zip(self._shape, axes, strict=True))
        out = self._device.full(shape, 0.0, self._handle.dtype)
        out[tuple(slice(left, left + n) for n, (left, _) in zip(self._shape, axes, strict=True))] = self
        return out

    def process_slice(self, s: Any, i: int) -> slice:
        """An int or slice along axis i as a slice with start, stop and step inside the axis."""
        if not -len(self._shape) <= i < len(self._shape):
            raise IndexRangeError(f"[getitem] axis {i} is none of the axes of {self._shape}")
        size = self._shape[i]
        if isinstance(s, slice):
            start, stop, step = s.indices(size)
            if step < 0:
                raise ShapeError(f"[getitem] steps must be positive, got {step} for axis {i}; flip() reverses an axis")
            return slice(start, stop if stop > start else start, step)
        at = operator.index(s)
        if not -size <= at < size:
            raise IndexRangeError(f"[getitem] index {at} is outside axis {i} of size {size}")
        return slice(at % size, at % size + 1, 1)

    def __getitem__(self, index: Any) -> NDArray:
        """A view; every axis stays, an int is a slice of one."""
        parts = index if isinstance(index, tuple) else (index,)
        if len(parts) != len(self._shape):
            raise ShapeError(f"[getitem] needs an index per axis, got {len(parts)} for {self._shape}")
        offset, shape, strides = self._offset, [], []
        for axis, part in enumerate(parts):
            s = self.process_slice(part, axis)
            shape.append(len(range(s.start, s.stop, s.step)))
            strides.append(self._strides[axis] * s.step)
            offset += s.start * self._strides[axis]
        return self.make(shape, strides, self._device, self._handle, offset)

    def __setitem__(self, index: Any, value: Any) -> None:
        """Write an array of as many elements, or a number, in place."""
        self[index]._write(value)

    def _write(self, value: Any) -> None:
        where, module = (self._handle, self._shape, self._strides, self._offset), self._handle.module
        if isinstance(value, np.ndarray | list | tuple):
            value = ndarray.NDArray(value, device=self._device, dtype=self._handle.dtype)
        if not isinstance(value, Views):
            module.scalar_setitem(prod(self._shape), held("setitem", value, self._handle.dtype), *where)
            return
        if prod(value._shape) != prod(self._shape):
            raise ShapeError(f"[setitem] the number of elements must agree, got {value._shape} for {self._shape}")
        value = value.to(self._device).astype(self._handle.dtype)
        source = value._copy() if value._handle is self._handle else value
        if source._shape == self._shape and hasattr(module, "strided_setitem"):
            module.strided_setitem(source._handle, source._strides, source._offset, *where)
        else:
            module.ewise_setitem(source.compact()._handle, *where)
