"""Mean, variance, maximum and minimum over axes. Over all axes of an NDArray, without `keepdims`, y has shape (1,)."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy

from ..autograd import Tensor, TensorOp
from ..backend_ndarray.kernels import kernels
from ..errors import DTypeError, ShapeError
from ..types import Type
from . import array_compat
from .attributes import Axes, PlainFields, axes_of, axis_of, either
from .dtype_rules import real
from .ops_broadcast import filled, spread, summation
from .shape_rules import NUMBER, keepdims_shape, without

__all__ = [
    "ExtremumGradient", "Max", "Mean", "Min", "Var", "argmax", "argmin", "max", "mean", "min", "var",
]  # fmt: skip


@dataclass(frozen=True)
class _Reduction(PlainFields, TensorOp):
    """A number for the elements over `axes` (all by default), which go away or, with `keepdims`, have size 1."""

    name: ClassVar[str]  # of the kernel and in messages
    axes: Axes = None
    keepdims: bool = False

    def infer(self, x: Type) -> Type:
        return Type(self._shape(x.shape), real(x).dtype)

    def compute(self, x: Any) -> Any:
        wide, axes = _with_axis(x, self._axes(x.shape))
        y = getattr(kernels(x), self.name)(wide, axes, True, *self._options())
        return array_compat.shaped(y, self._shape(x.shape))

    def _axes(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return axes_of(self.name, self.axes, len(shape))

    def _shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the result."""
        axes = self._axes(shape)
        if self.keepdims:
            return keepdims_shape(shape, axes)
        return NUMBER if self.axes is None else without(shape, axes)

    def _count(self, shape: tuple[int, ...]) -> int:
        """How many elements become one."""
        return prod(int(shape[axis]) for axis in self._axes(shape))

    def _options(self) -> tuple[float, ...]:
        """What the kernel takes besides."""
        return ()


@dataclass(frozen=True)
class Mean(_Reduction):
    """y = sum of x over `axes` (all by default) / how many there are; NaN over none"""

    name = "mean"

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        shape = node.inputs[0].shape
        return spread(out_grad / float(self._count(shape) or 1), shape, self._axes(shape))


@dataclass(frozen=True)
class Var(_Reduction):
    """y = sum over `axes` (all by default) of (x - mean(x))^2 / (n - correction), of n elements each

    `correction` 0 is the variance of what is there, 1 the unbiased estimate from a sample. NaN where n <= correction.
    """

    name = "var"
    correction: float = 0

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        (x,) = node.inputs
        axes, left = self._axes(x.shape), float(self._count(x.shape) - self.correction)
        scaled = out_grad * (2 / left if left > 0 else numpy.nan)
        return spread(scaled, x.shape, axes) * (x + spread(-Mean(axes)(x), x.shape, axes))

    def _options(self) -> tuple[float, ...]:
        return (self.correction,)


class _Extremum(_Reduction):
    """A reduction that chooses one of the elements, of which there must be one."""

    def infer(self, x: Type) -> Type:
        if 0 in [x.shape[axis] for axis in self._axes(x.shape)]:
            raise ShapeError(f"[{self.name}] needs at least one element along axes {self.axes}, got {x.shape}")
        return Type(self._shape(x.shape), x.dtype)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return ExtremumGradient(self.axes)(out_grad, node.inputs[0], node)


@dataclass(frozen=True)
class Max(_Extremum):
    """y = the largest of x over `axes` (all by default); NaN where one of them is NaN"""

    name = "max"


@dataclass(frozen=True)
class Min(_Extremum):
    """y = the smallest of x over `axes` (all by default); NaN where one of them is NaN"""

    name = "min"


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
        shares = ExtremumGradient(self.axes)(filled(g.shape, 1.0, g), x, y)
        total = summation(out_grad * shares, axes)
        return total if total.shape == g.shape else total.reshape(g.shape), None, None


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
