"""Elements repeated along axes, and summed over them: the two are each other's gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..autograd import Tensor, TensorOp
from ..types import Type
from . import array_compat
from .attributes import Axes, PlainFields, axes_of, either
from .dtype_rules import total_dtype
from .ops_cast import as_operand
from .ops_reshape import Reshape, reshape
from .shape_rules import NUMBER, check_broadcast_to, expanded_axes, keepdims_shape, without

__all__ = ["BroadcastTo", "Summation", "broadcast_to", "summation"]


@dataclass(frozen=True)
class BroadcastTo(PlainFields, TensorOp):
    """y = x repeated to `shape` along new leading axes and axes of size 1"""

    shape: tuple[int, ...]

    def infer(self, x: Type) -> Type:
        check_broadcast_to("broadcast_to", x.shape, self.shape)
        return Type(tuple(self.shape), x.dtype)

    def compute(self, x: Any) -> Any:
        return array_compat.broadcast_to(x, self.shape)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return sum_to(out_grad, node.inputs[0])


@dataclass(frozen=True)
class Summation(PlainFields, TensorOp):
    """y = sum of x over `axes` (all by default), which go away; over all of an NDArray y has shape (1,)"""

    axes: Axes = None

    def infer(self, x: Type) -> Type:
        if self.axes is None:
            return Type(NUMBER, total_dtype(x.dtype))
        axes = axes_of("summation", self.axes, len(x.shape))
        return Type(without(x.shape, axes), total_dtype(x.dtype))

    def compute(self, x: Any) -> Any:
        return array_compat.total(x, None if self.axes is None else axes_of("summation", self.axes, len(x.shape)))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        shape = node.inputs[0].shape
        return spread(out_grad, shape, axes_of("summation", self.axes, len(shape)))


def spread(y: Tensor, shape: tuple[int, ...], axes: tuple[int, ...]) -> Tensor:
    """y, which lacks `axes` of `shape`, repeated along them."""
    with_ones = keepdims_shape(shape, axes)
    return BroadcastTo(shape)(y if y.shape == with_ones else Reshape(with_ones)(y))


def filled(shape: tuple[int, ...], number: float, like: Tensor) -> Tensor:
    """A number, of the dtype and on the device of `like`, repeated to `shape`: an adjoint that needs no data."""
    return BroadcastTo(shape)(Reshape((1,) * len(shape))(as_operand("filled", like, number)))


def sum_to(out_grad: Tensor, value: Any) -> Tensor | None:
    """The adjoint of broadcasting `value`: `out_grad` summed to its shape. None if `value` requires no gradient."""
    if not value.requires_grad:
        return None
    shape = value.shape
    if out_grad.shape == shape:
        return out_grad
    axes = expanded_axes(shape, out_grad.shape)
    total = Summation(axes)(out_grad) if axes else out_grad
    return total if total.shape == shape else Reshape(shape)(total)


def broadcast_to(a: Tensor, shape: Sequence[int]) -> Tensor:
    """a repeated to `shape` by numpy's rules."""
    return BroadcastTo(tuple(shape))(a)


def summation(a: Tensor, axes: Axes = None, keepdims: bool = False, *, axis: Axes = None) -> Tensor:
    """The sum of a over `axes`, or `axis` (None: all; an int or several), which go away or, kept, have size 1.

    Raises ShapeError where both names are used.
    """
    op = Summation(either("summation", axes, axis))
    total = op(a)
    return reshape(total, keepdims_shape(a.shape, axes_of("summation", op.axes, len(a.shape)))) if keepdims else total
