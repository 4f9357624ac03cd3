"""Mean, variance, maximum and minimum over axes. Over all axes of an NDArray, without `keepdims`, y has shape (1,)."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy

from ..autograd import Tensor, TensorOp
from ..backend_ndarray.kernels import kernels
from ..errors import DTypeError, ShapeError
from ..types import Type
from . import array_compat
from .attributes import Axes, PlainFields, axes_of, axis_of, either
from .dtype_rules import real
from .ops_broadcast import spread, summation
from .shape_rules import NUMBER, keepdims_shape, without

__all__ = [
    "ExtremumGradient", "Max", "Mean", "Min", "Var", "argmax", "argmin", "max", "mean", "min", "var",
]  # fmt: skip


@dataclass(frozen=True)
class Mean(PlainFields, TensorOp):
    """y = sum of x over `axes` (all by default) / how many there are; NaN over none"""

    axes: Axes = None
    keepdims: bool = False

    def infer(self, x: Type) -> Type:
        return Type(_reduced("mean", self, x.shape), real(x).dtype)

    def compute(self, x: Any) -> Any:
        return _computed("mean", self, x)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        shape, axes = _over("mean", self, node)
        return spread(out_grad / float(_count(shape, axes) or 1), shape, axes)


@dataclass(frozen=True)
class Var(PlainFields, TensorOp):
    """y = sum over `axes` (all by default) of (x - mean(x))^2 / (n - correction), of n elements each

    `correction` 0 is the variance of what is there, 1 the unbiased estimate from a sample. NaN where n <= correction.
    """

    axes: Axes = None
    keepdims: bool = False
    correction: float = 0

    def infer(self, x: Type) -> Type:
        return Type(_reduced("var", self, x.shape), real(x).dtype)

    def compute(self, x: Any) -> Any:
        return _computed("var", self, x, self.correction)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        (x,) = node.inputs
        shape, axes = _over("var", self, node)
        left = float(_count(shape, axes) - self.correction)
        scaled = out_grad * (2 / left if left > 0 else numpy.nan)
        return spread(scaled, shape, axes) * (x + spread(-Mean(axes)(x), shape, axes))


@dataclass(frozen=True)
class Max(PlainFields, TensorOp):
    """y = the largest of x over `axes` (all by default); NaN where one of them is NaN"""

    axes: Axes = None
    keepdims: bool = False

    def infer(self, x: Type) -> Type:
        return Type(_some("max", self, x.shape), x.dtype)

    def compute(self, x: Any) -> Any:
        return _computed("max", self, x)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return ExtremumGradient(self.axes)(out_grad, node.inputs[0], node)


@dataclass(frozen=True)
class Min(PlainFields, TensorOp):
    """y = the smallest of x over `axes` (all by default); NaN where one of them is NaN"""

    axes: Axes = None
    keepdims: bool = False

    def infer(self, x: Type) -> Type:
        return Type(_some("min", self, x.shape), x.dtype)

    def compute(self, x: Any) -> Any:
        return _computed("min", self, x)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return ExtremumGradient(self.axes)(out_grad, node.inputs[0], node)


@dataclass(frozen=True)
class ExtremumGradient(PlainFields, TensorOp):
    """dx = g / k where x = y, else 0: the maximum or minimum y over `axes` is taken k times, which share its adjoint"""

    axes: Axes = None

    def infer(self, g: Type, x: Type, y: Type) -> Type:
        if prod(g.shape) != prod(y.shape):
            raise ShapeError(f"[extremum_gradient] g and y must have one shape, got {g.shape} and {y.shape}")
        needed = keepdims_shape(x.shape, axes_of("extremum_gradient", self.axes, len(x.shape)))
        if prod(g.shape) != prod(needed):
            raise ShapeError(f"[extremum_gradient] needs g and y of the size of {needed}, got {g.shape}")
        return x

    def compute(self, g: Any, x: Any, y: Any) -> Any:
        wide, axes = _with_axis(x, axes_of("extremum_gradient", self.axes, len(x.shape)))
        shape = keepdims_shape(wide.shape, axes)
        dx = kernels(x).extremum_gradient(array_compat.shaped(g, shape), wide, array_compat.shaped(y, shape), axes)
        return array_compat.shaped(dx, x.shape)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        g, x, y = node.inputs
        axes = axes_of("extremum_gradient", self.axes, len(x.shape))
        ones = Tensor.make_const(array_compat.filled(g.realize_cached_data(), g.shape, 1.0))
        total = summation(out_grad * ExtremumGradient(self.axes)(ones, x, y), axes)
        return total if total.shape == g.shape else total.reshape(g.shape), None, None


def _over(where: str, op: Any, node: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shape of the input of a reduction, and its axes."""
    shape = node.inputs[0].shape
    return shape, axes_of(where, op.axes, len(shape))


def _count(shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    return prod(int(shape[axis]) for axis in axes)


def _reduced(where: str, op: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the result."""
    axes = axes_of(where, op.axes, len(shape))
    if op.keepdims:
        return keepdims_shape(shape, axes)
    return NUMBER if op.axes is None else without(shape, axes)


def _some(where: str, op: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The same, if there is at least one element to choose from."""
    if 0 in [shape[axis] for axis in axes_of(where, op.axes, len(shape))]:
        raise ShapeError(f"[{where}] needs at least one element along axes {op.axes}, got {shape}")
    return _reduced(where, op, shape)


def _computed(kernel: str, op: Any, x: Any, *options: Any) -> Any:
    """The reduction by the kernel of this name."""
    wide, axes = _with_axis(x, axes_of(kernel, op.axes, len(x.shape)))
    y = getattr(kernels(x), kernel)(wide, axes, True, *options)
    return array_compat.shaped(y, _reduced(kernel, op, x.shape))


def _with_axis(x: Any, axes: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
    """x and the axes to reduce; where there are none, a new axis of size 1."""
    return (x, axes) if axes else (array_compat.reshape(x, (*x.shape, 1)), (len(x.shape),))


def mean(x: Tensor, axes: Axes = None, keepdims: bool = False, *, axis: Axes = None) -> Tensor:
    """The mean of x over `axes`, or `axis` (None: all; an int or several)."""
    return Mean(either("mean", axes, axis), keepdims)(x)


def var(
    x: Tensor, axes: Axes = None, keepdims: bool = False, correction: float = 0, *, axis: Axes = None
) -> Tensor:
    """The variance of x over `axes`, or `axis` (None: all; an int or several), divided by n - correction.

    1 is unbiased.
    """
    return Var(either("var", axes, axis), keepdims, correction)(x)


def max(x: Tensor, axes: Axes = None, keepdims: bool = False, *, axis: Axes = None) -> Tensor:
    """The maximum of x over `axes`, or `axis` (None: all; an int or several); equal ones share the gradient."""
    return Max(either("max", axes, axis), keepdims)(x)


def min(x: Tensor, axes: Axes = None, keepdims: bool = False, *, axis: Axes = None) -> Tensor:
    """The minimum of x over `axes`, or `axis` (None: all; an int or several); equal ones share the gradient."""
    return Min(either("min", axes, axis), keepdims)(x)


def argmax(x: Tensor, axis: int | None = None) -> Tensor:
    """Where the first maximum along `axis` is (None: in all the elements in order), as whole numbers without gradient.

    A NaN counts as the maximum.
    """
    return _arg("argmax", numpy.argmax, x, axis)


def argmin(x: Tensor, axis: int | None = None) -> Tensor:
    """Where the first minimum along `axis` is (None: in all the elements in order), as whole numbers without gradient.

    A NaN counts as the minimum.
    """
    return _arg("argmin", numpy.argmin, x, axis)


def _arg(where: str, find: Any, x: Tensor, axis: int | None) -> Tensor:
    if not isinstance(x, Tensor):
        raise DTypeError(f"[{where}] needs a Tensor, got {type(x).__name__}")
    values = x.numpy()
    if (values.size if axis is None else values.shape[axis_of(where, axis, values.ndim)]) == 0:
        raise ShapeError(f"[{where}] needs at least one element along axis {axis}, got {values.shape}")
    return Tensor(find(values, axis), device=x.device, dtype="int64", requires_grad=False)
