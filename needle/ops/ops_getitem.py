"""x[index]: slices as views, and one integer array."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import numpy

from ..autograd import Tensor, TensorOp
from ..errors import DTypeError, IndexRangeError, ShapeError
from ..types import Type
from . import array_compat
from .attributes import PlainFields
from .ops_gather import Take, as_ids

__all__ = ["GetItem", "GetItemGradient", "getitem"]

Slice = tuple[int | None, int | None, int]  # start, stop, step, as in Python
Part = int | Slice | None  # an int takes one element and the axis goes away, None is a new axis of size 1


@dataclass(frozen=True)
class GetItem(PlainFields, TensorOp):
    """y = x[index]: for each axis an int, (start, stop, step) as in Python, or None for a new axis

    Axes that are not named stay whole. A view: nothing is copied.
    """

    index: tuple[Part, ...]

    def infer(self, x: Type) -> Type:
        return Type(tuple(n for n, *_ in _walked(self.index, x.shape) if n is not None), x.dtype)

    def compute(self, x: Any) -> Any:
        return _view(x, self.index)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return GetItemGradient(self.index, tuple(node.inputs[0].shape))(out_grad)


@dataclass(frozen=True)
class GetItemGradient(PlainFields, TensorOp):
    """dx[index] = g, of zeros of a shape"""

    index: tuple[Part, ...]
    shape: tuple[int, ...]

    def infer(self, g: Type) -> Type:
        needed = GetItem(self.index).infer(Type(self.shape)).shape
        if g.shape != needed:
            raise ShapeError(f"[getitem_gradient] needs g {needed}, got {g.shape}")
        return Type(self.shape, g.dtype)

    def compute(self, g: Any) -> Any:
        out = array_compat.filled(g, self.shape)
        array_compat.write(_view(out, self.index), g)
        return out

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return GetItem(self.index)(out_grad)


def _walked(index: tuple[Part, ...], shape: tuple[int, ...]) -> list[tuple[int | None, int | None, int, int]]:
    """(size of the result or None where the axis goes, axis of x or None where it is new, first, step) of each part."""
    named = sum(part is not None for part in index)
    if named > len(shape):
        raise ShapeError(f"[getitem] at most one index for each axis, got {named} for shape {shape}")
    found: list[tuple[int | None, int | None, int, int]] = []
    axis = 0
    for part in (*index, *[(None, None, 1)] * (len(shape) - named)):
        if part is None:
            found.append((1, None, 0, 0))
            continue
        n = shape[axis]
        if isinstance(part, int):
            if not -n <= part < n:
                raise IndexRangeError(f"[getitem] index {part} is outside axis {axis} of {shape}")
            found.append((None, axis, part + n if part < 0 else part, 1))
        elif part == (None, None, 1):
            found.append((n, axis, 0, 1))  # the size keeps its name, if it has one
        else:
            steps = range(*slice(*part).indices(int(n)))
            found.append((len(steps), axis, steps.start, steps.step))
        axis += 1
    return found


def _view(x: Any, index: tuple[Part, ...]) -> Any:
    """x[index] in the memory of x."""
    if isinstance(x, numpy.ndarray):
        parts = [slice(*part) if isinstance(part, tuple) else part for part in index]
        return x[(*parts, ...)]
    walked = _walked(index, x.shape)
    offset = sum(first * x.strides[axis] for n, axis, first, _ in walked if axis is not None and n != 0)
    sizes = [n for n, *_ in walked if n is not None]
    strides = [0 if axis is None else x.strides[axis] * step for n, axis, _, step in walked if n is not None]
    return array_compat.view(x, sizes, strides, offset)


def getitem(x: Tensor, index: Any) -> Tensor:
    """x[index], as numpy has it: ints, slices with any step, None, Ellipsis, and integer arrays on one axis.

    Without an array y is a view of x. A mask is refused: the shape of y would depend on its elements; see `where`.
    Raises IndexRangeError outside x, ShapeError and DTypeError for what is no such index.
    """
    if not isinstance(x, Tensor):
        raise DTypeError(f"[getitem] needs a Tensor, got {type(x).__name__}")
    parts = _expanded(index if isinstance(index, tuple) else (index,), len(x.shape))
    found: list[Part] = []
    chosen: list[tuple[int, Any]] = []  # the arrays, and the axes of what the other parts leave
    positions: list[int] = []  # of ints and arrays: numpy moves their axis to the front when slices part them
    for position, part in enumerate(parts):
        if isinstance(part, slice):
            found.append((_int(part.start), _int(part.stop), 1 if part.step is None else operator.index(part.step)))
        elif part is None:
            found.append(None)
        elif isinstance(part, Tensor | numpy.ndarray | list):
            chosen.append((sum(not isinstance(p, int) for p in found), _ids(x, part)))
            found.append((None, None, 1))
            positions.append(position)
        else:
            found.append(_at(part))
            positions.append(position)
    if len(chosen) > 1:
        raise ShapeError("[getitem] takes an integer array on one axis only; see gather, or index one after the other")
    if chosen and positions[-1] - positions[0] >= len(positions):
        raise ShapeError("[getitem] an int and an array must stand side by side: write x[i][..., ids]")
    plain = any(part != (None, None, 1) for part in found)
    y = GetItem(tuple(found))(x) if plain or not chosen else x
    return Take(chosen[0][0])(y, chosen[0][1]) if chosen else y


def _expanded(parts: tuple[Any, ...], ndim: int) -> list[Any]:
    """The parts of an index with the Ellipsis, if there is one, written out."""
    dots = [position for position, part in enumerate(parts) if part is Ellipsis]
    if len(dots) > 1:
        raise ShapeError("[getitem] at most one Ellipsis")
    if not dots:
        return list(parts)
    missing = ndim - sum(part is not None for part in parts) + 1
    return [*parts[: dots[0]], *[slice(None)] * missing, *parts[dots[0] + 1 :]]


def _ids(x: Tensor, part: Any) -> Tensor:
    """An array that indexes, as a Tensor of whole numbers."""
    try:
        kind = str(part.dtype) if isinstance(part, Tensor) else numpy.asarray(part).dtype.name
    except ValueError:
        raise ShapeError("[getitem] nested lists of indices must have one length on each level") from None
    if kind == "bool":
        raise DTypeError("[getitem] cannot index by a mask, whose count of elements is no shape; use where(mask, a, b)")
    return as_ids("getitem", x, part)


def _at(part: Any) -> int:
    """One index as an int."""
    if isinstance(part, bool | numpy.bool_):
        raise DTypeError("[getitem] cannot index by a truth value; use where(mask, a, b)")
    try:
        return operator.index(part)
    except TypeError:
        raise DTypeError(
            f"[getitem] needs ints, slices, None, ... or an integer array, got {type(part).__name__}"
        ) from None


def _int(bound: Any) -> int | None:
    return None if bound is None else operator.index(bound)
