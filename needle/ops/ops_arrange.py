"""Ops that take tensors apart and put them together: stack, concat, split, flip, dilate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..autograd import Tensor, TensorOp, TensorTuple, TensorTupleOp
from ..errors import ShapeError
from ..types import Type
from . import arrays
from .ops_index import GetItem, Part
from .ops_tuple import make_tuple
from .shapes import Axes, PlainFields, axes_of, axis_of, one_dtype, replaced, without

__all__ = [
    "Concat", "Dilate", "Flip", "Split", "Stack", "UnDilate", "concat", "dilate", "flip", "split", "stack", "undilate",
]  # fmt: skip


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
        return arrays.stack(parts, axis_of("stack", self.axis, len(parts[0].shape) + 1))

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
        return arrays.concat(parts, axis_of("concat", self.axis, len(parts[0].shape)))

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
        return tuple(arrays.take(x, axis, k) for k in range(x.shape[axis]))

    def gradient(self, out_grad: TensorTuple, node: Any) -> Any:
        axis = axis_of("split", self.axis, len(node.inputs[0].shape))
        return Stack(axis)(out_grad)


@dataclass(frozen=True)
class Flip(PlainFields, TensorOp):
    """y[..., i, ...] = x[..., n - 1 - i, ...] along each of `axes` (all by default)"""

    axes: Axes = None

    def infer(self, x: Type) -> Type:
        axes_of("flip", self.axes, len(x.shape))
        return x

    def compute(self, x: Any) -> Any:
        return arrays.flip(x, axes_of("flip", self.axes, len(x.shape)))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return flip(out_grad, self.axes)


@dataclass(frozen=True)
class Dilate(PlainFields, TensorOp):
    """y[..., i (dilation + 1), ...] = x[..., i, ...], else 0: zeros after every element, n grows to n (dilation + 1)"""

    axes: Axes
    dilation: int

    def infer(self, x: Type) -> Type:
        axes = _dilated("dilate", self, len(x.shape))
        step = self.dilation + 1
        return Type(tuple(n * step if i in axes else n for i, n in enumerate(x.shape)), x.dtype)

    def compute(self, x: Any) -> Any:
        if self.dilation == 0:
            return x
        out = arrays.filled(x, self.infer(Type(x.shape)).shape)
        out[_every(self, len(x.shape))] = x
        return out

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return UnDilate(self.axes, self.dilation)(out_grad)


@dataclass(frozen=True)
class UnDilate(PlainFields, TensorOp):
    """y[..., i, ...] = x[..., i (dilation + 1), ...]: what `Dilate` put there, without its zeros"""

    axes: Axes
    dilation: int

    def infer(self, x: Type) -> Type:
        axes = _dilated("undilate", self, len(x.shape))
        step = self.dilation + 1
        for i in axes:
            if x.shape[i] % step:
                raise ShapeError(f"[undilate] axis {i} of {x.shape} must be a multiple of dilation + 1 = {step}")
        return Type(tuple(n // step if i in axes else n for i, n in enumerate(x.shape)), x.dtype)

    def compute(self, x: Any) -> Any:
        return x[_every(self, len(x.shape))]

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return Dilate(self.axes, self.dilation)(out_grad)


def _dilated(where: str, op: Dilate | UnDilate, ndim: int) -> tuple[int, ...]:
    if op.dilation < 0:
        raise ShapeError(f"[{where}] dilation must be 0 or more, got {op.dilation}")
    return axes_of(where, op.axes, ndim)


def _every(op: Dilate | UnDilate, ndim: int) -> tuple[slice, ...]:
    """The slices that pick every (dilation + 1)-th element along the op's axes."""
    axes = axes_of("dilate", op.axes, ndim)
    return tuple(slice(None, None, op.dilation + 1) if i in axes else slice(None) for i in range(ndim))


def stack(args: Sequence[Tensor], axis: int) -> Tensor:
    """The tensors, all of one shape, along a new axis."""
    return Stack(axis)(make_tuple(*args))


def concat(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """The tensors, of one shape but along `axis`, one after the other along it."""
    return Concat(axis)(make_tuple(*tensors))


def split(a: Tensor, axis: int) -> TensorTuple:
    """The slices of a along `axis`, which goes away."""
    return Split(axis)(a)


def flip(a: Tensor, axes: Axes = None) -> Tensor:
    """a with the order of the elements along `axes` reversed."""
    return Flip(axes)(a)


def dilate(a: Tensor, axes: Axes, dilation: int) -> Tensor:
    """a with `dilation` zeros after every element along `axes`."""
    return Dilate(axes, dilation)(a)


def undilate(a: Tensor, axes: Axes, dilation: int) -> Tensor:
    """Every (dilation + 1)-th element of a along `axes`."""
    return UnDilate(axes, dilation)(a)
