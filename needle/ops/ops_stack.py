"""Tensors put together along an axis, and taken apart: stack, concat, split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..autograd import Tensor, TensorOp, TensorTuple, TensorTupleOp
from ..errors import ShapeError
from ..types import Type
from . import array_compat
from .attributes import PlainFields, axis_of
from .dtype_rules import one_dtype
from .ops_getitem import GetItem, Part
from .ops_tuple import make_tuple
from .shape_rules import replaced, without

__all__ = ["Concat", "Split", "Stack", "concat", "split", "stack"]


@dataclass(frozen=True)
class Stack(PlainFields, TensorOp):
    """y[..., k, ...] = x_k: the tensors of a tuple along a new axis"""

    axis: int

    def infer(self, parts: tuple[Type, ...]) -> Type:
        if not parts:
            raise ShapeError("[stack] needs at least one tensor, got an empty tuple")
        shape, dtype = parts[0].shape, one_dtype("stack", *parts)
        for part in parts[1:]:
            if part.shape != shape:
                raise ShapeError(f"[stack] needs tensors of one shape, got {shape} and {part.shape}")
        axis = axis_of("stack", self.axis, len(shape) + 1)
        return Type((*shape[:axis], len(parts), *shape[axis:]), dtype)

    def compute(self, parts: Any) -> Any:
        return array_compat.stack(parts, axis_of("stack", self.axis, len(parts[0].shape) + 1))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return split(out_grad, self.axis)


@dataclass(frozen=True)
class Concat(PlainFields, TensorOp):
    """y = the tensors of a tuple one after the other along an axis that they have"""

    axis: int

    def infer(self, parts: tuple[Type, ...]) -> Type:
        if not parts:
            raise ShapeError("[concat] needs at least one tensor, got an empty tuple")
        shape, dtype, total = parts[0].shape, one_dtype("concat", *parts), 0
        axis = axis_of("concat", self.axis, len(shape))
        for part in parts:
            if len(part.shape) != len(shape) or replaced(part.shape, axis, 0) != replaced(shape, axis, 0):
                raise ShapeError(f"[concat] shapes must agree but along axis {axis}, got {shape} and {part.shape}")
            total += part.shape[axis]
        return Type(replaced(shape, axis, parts[0].shape[axis] if len(parts) == 1 else total), dtype)

    def compute(self, parts: Any) -> Any:
        return array_compat.concat(parts, axis_of("concat", self.axis, len(parts[0].shape)))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        shapes = [part.shape for part in node.inputs[0].type]
        axis, start, found = axis_of("concat", self.axis, len(shapes[0])), 0, []
        for shape in shapes:
            index: list[Part] = [(None, None, 1)] * len(shape)
            index[axis] = (start, start + int(shape[axis]), 1)
            found.append(GetItem(tuple(index))(out_grad))
            start += int(shape[axis])
        return make_tuple(*found)


@dataclass(frozen=True)
class Split(PlainFields, TensorTupleOp):
    """y_k = x[..., k, ...]: a tuple of the slices along an axis, which goes away"""

    axis: int

    def infer(self, x: Type) -> tuple[Type, ...]:
        axis = axis_of("split", self.axis, len(x.shape))
        return (Type(without(x.shape, (axis,)), x.dtype),) * x.shape[axis]

    def compute(self, x: Any) -> Any:
        axis = axis_of("split", self.axis, len(x.shape))
        return tuple(array_compat.take(x, axis, k) for k in range(x.shape[axis]))

    def gradient(self, out_grad: TensorTuple, node: Any) -> Any:
        axis = axis_of("split", self.axis, len(node.inputs[0].shape))
        return Stack(axis)(out_grad)


def stack(args: Sequence[Tensor], axis: int) -> Tensor:
    """The tensors, all of one shape, along a new axis."""
    return Stack(axis)(make_tuple(*args))


def concat(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """The tensors, of one shape but along `axis`, one after the other along it."""
    return Concat(axis)(make_tuple(*tensors))


def split(a: Tensor, axis: int) -> TensorTuple:
    """The slices of a along `axis`, which goes away."""
    return Split(axis)(a)
