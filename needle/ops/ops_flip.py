"""Elements along axes in reverse order, and with zeros between them: flip, dilate and its inverse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..autograd import Tensor, TensorOp
from ..errors import ShapeError
from ..types import Type
from . import array_compat
from .attributes import Axes, PlainFields, axes_of
from .shape_rules import LONGEST

__all__ = ["Dilate", "Flip", "UnDilate", "dilate", "flip", "undilate"]


@dataclass(frozen=True)
class Flip(PlainFields, TensorOp):
    """y[..., i, ...] = x[..., n - 1 - i, ...] along each of `axes` (all by default)"""

    axes: Axes = None

    def infer(self, x: Type) -> Type:
        axes_of("flip", self.axes, len(x.shape))
        return x

    def compute(self, x: Any) -> Any:
        return array_compat.flip(x, axes_of("flip", self.axes, len(x.shape)))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return flip(out_grad, self.axes)


@dataclass(frozen=True)
class Dilate(PlainFields, TensorOp):
    """y[..., i (dilation + 1), ...] = x[..., i, ...], else 0: zeros after every element, n grows to n (dilation + 1)"""

    axes: Axes
    dilation: int

    def infer(self, x: Type) -> Type:
        axes = dilated_axes("dilate", self, len(x.shape))
        step = self.dilation + 1
        return Type(tuple(n * step if i in axes else n for i, n in enumerate(x.shape)), x.dtype)

    def compute(self, x: Any) -> Any:
        if self.dilation == 0:
            return x
        out = array_compat.filled(x, self.infer(Type(x.shape)).shape)
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
        axes = dilated_axes("undilate", self, len(x.shape))
        step = self.dilation + 1
        for i in axes:
            if x.shape[i] % step:
                raise ShapeError(f"[undilate] axis {i} of {x.shape} must be a multiple of dilation + 1 = {step}")
        return Type(tuple(n // step if i in axes else n for i, n in enumerate(x.shape)), x.dtype)

    def compute(self, x: Any) -> Any:
        return x[_every(self, len(x.shape))]

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return Dilate(self.axes, self.dilation)(out_grad)


def dilated_axes(where: str, op: Dilate | UnDilate, ndim: int) -> tuple[int, ...]:
    if op.dilation < 0:
        raise ShapeError(f"[{where}] dilation must be 0 or more, got {op.dilation}")
    if op.dilation >= LONGEST:
        raise ShapeError(f"[{where}] dilation must be below {LONGEST}, got {op.dilation}")
    return axes_of(where, op.axes, ndim)


def _every(op: Dilate | UnDilate, ndim: int) -> tuple[slice, ...]:
    """The slices that pick every (dilation + 1)-th element along the op's axes."""
    axes = axes_of("dilate", op.axes, ndim)
    return tuple(slice(None, None, op.dilation + 1) if i in axes else slice(None) for i in range(ndim))


def flip(a: Tensor, axes: Axes = None) -> Tensor:
    """a with the order of the elements along `axes` reversed."""
    return Flip(axes)(a)


def dilate(a: Tensor, axes: Axes, dilation: int) -> Tensor:
    """a with `dilation` zeros after every element along `axes`."""
    return Dilate(axes, dilation)(a)


def undilate(a: Tensor, axes: Axes, dilation: int) -> Tensor:
    """Every (dilation + 1)-th element of a along `axes`."""
    return UnDilate(axes, dilation)(a)
