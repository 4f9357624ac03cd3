"""Ops that rearrange, repeat or add up elements along axes. Rearranging and repeating are views on an NDArray."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..autograd import Tensor, TensorOp
from ..errors import ShapeError
from ..grad_mode import switch
from ..types import Type
from . import arrays
from .shapes import (
    NUMBER,
    Axes,
    PlainFields,
    axes_of,
    check_broadcast_to,
    either,
    expanded_axes,
    kept,
    reshaped,
    swapped,
    total_dtype,
    without,
)

__all__ = [
    "BroadcastTo", "Permute", "Reshape", "Summation", "Transpose", "broadcast_to", "permute", "reshape", "summation",
    "transpose",
]  # fmt: skip


@dataclass(frozen=True)
class Transpose(PlainFields, TensorOp):
    """y = x with two axes exchanged (the last two by default)"""

    axes: tuple[int, int] | None = None

    def infer(self, x: Type) -> Type:
        return Type(tuple(x.shape[i] for i in swapped("transpose", self.axes, len(x.shape))), x.dtype)

    def compute(self, x: Any) -> Any:
        return arrays.permute(x, swapped("transpose", self.axes, len(x.shape)))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return Transpose(self.axes)(out_grad)


@dataclass(frozen=True)
class Permute(PlainFields, TensorOp):
    """y[j_0, j_1, ...] = x[i_0, i_1, ...] where j_k = i_axes[k]: axis k of y is axis axes[k] of x"""

    axes: tuple[int, ...]

    def infer(self, x: Type) -> Type:
        order = axes_of("permute", self.axes, len(x.shape))
        if len(order) != len(x.shape):
            raise ShapeError(f"[permute] needs each of {len(x.shape)} axes once, got {tuple(self.axes)}")
        return Type(tuple(x.shape[i] for i in order), x.dtype)

    def compute(self, x: Any) -> Any:
        return arrays.permute(x, axes_of("permute", self.axes, len(x.shape)))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        order = axes_of("permute", self.axes, len(self.axes))
        return permute(out_grad, tuple(order.index(i) for i in range(len(order))))


@dataclass(frozen=True)
class Reshape(PlainFields, TensorOp):
    """y = the elements of x in their order, seen as `shape` (where one size may be -1: what is left)"""

    shape: tuple[int, ...]

    def infer(self, x: Type) -> Type:
        return Type(reshaped("reshape", x.shape, self.shape), x.dtype)

    def compute(self, x: Any) -> Any:
        return arrays.reshape(x, reshaped("reshape", x.shape, self.shape))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return Reshape(node.inputs[0].shape)(out_grad)


@dataclass(frozen=True)
class BroadcastTo(PlainFields, TensorOp):
    """y = x repeated to `shape` along new leading axes and axes of size 1"""

    shape: tuple[int, ...]

    def infer(self, x: Type) -> Type:
        check_broadcast_to("broadcast_to", x.shape, self.shape)
        return Type(tuple(self.shape), x.dtype)

    def compute(self, x: Any) -> Any:
        return arrays.broadcast_to(x, self.shape)

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
        return arrays.total(x, None if self.axes is None else axes_of("summation", self.axes, len(x.shape)))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        shape = node.inputs[0].shape
        return spread(out_grad, shape, axes_of("summation", self.axes, len(shape)))


def spread(y: Tensor, shape: tuple[int, ...], axes: tuple[int, ...]) -> Tensor:
    """y, which lacks `axes` of `shape`, repeated along them."""
    with_ones = kept(shape, axes)
    return BroadcastTo(shape)(y if y.shape == with_ones else Reshape(with_ones)(y))


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


def transpose(a: Tensor, axes: Sequence[int] | None = None) -> Tensor:
    """a with two axes exchanged (the last two by default)."""
    return Transpose(None if axes is None else tuple(axes))(a)  # type: ignore[arg-type]


def permute(x: Tensor, axes: Sequence[int]) -> Tensor:
    """x with its axes in the order `axes`. Undoing a permutation gives back the very tensor that was permuted."""
    axes = tuple(axes)
    before = x.op if isinstance(x, Tensor) else None
    if isinstance(before, Permute) and switch.on:
        ndim = len(before.axes)
        order = axes_of("permute", axes, ndim)
        if [before.axes[axis] % ndim for axis in order] == list(range(ndim)):
            return x.inputs[0]  # type: ignore[return-value]
    return Permute(axes)(x)


def reshape(a: Tensor, shape: Sequence[int]) -> Tensor:
    """The elements of a, in order, as `shape`."""
    return Reshape(tuple(shape))(a)


def broadcast_to(a: Tensor, shape: Sequence[int]) -> Tensor:
    """a repeated to `shape` by numpy's rules."""
    return BroadcastTo(tuple(shape))(a)


def summation(a: Tensor, axes: Axes = None, keepdims: bool = False, *, axis: Axes = None) -> Tensor:
    """The sum of a over `axes`, or `axis` (None: all; an int or several), which go away or, kept, have size 1.

    Raises ShapeError where both names are used.
    """
    op = Summation(either("summation", axes, axis))
    total = op(a)
    return reshape(total, kept(a.shape, axes_of("summation", op.axes, len(a.shape)))) if keepdims else total
