"""The same elements with their axes in another order or of other sizes: views on an NDArray."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..autograd import Tensor, TensorOp
from ..errors import ShapeError
from ..grad_mode import switch
from ..types import Type
from . import array_compat
from .attributes import PlainFields, axes_of, swapped
from .shape_rules import reshaped

__all__ = ["Permute", "Reshape", "Transpose", "permute", "reshape", "transpose"]


@dataclass(frozen=True)
class Transpose(PlainFields, TensorOp):
    """y = x with two axes exchanged (the last two by default)"""

    axes: tuple[int, int] | None = None

    def infer(self, x: Type) -> Type:
        return Type(tuple(x.shape[i] for i in swapped("transpose", self.axes, len(x.shape))), x.dtype)

    def compute(self, x: Any) -> Any:
        return array_compat.permute(x, swapped("transpose", self.axes, len(x.shape)))

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
        return array_compat.permute(x, axes_of("permute", self.axes, len(x.shape)))

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
        return array_compat.reshape(x, reshaped("reshape", x.shape, self.shape))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return Reshape(node.inputs[0].shape)(out_grad)


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
