"""Softmax and its relatives, over the last axis and safe for large inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..autograd import Tensor, TensorOp
from ..backend_ndarray.kernels import kernels
from ..errors import ShapeError
from ..types import Type
from . import array_compat
from .attributes import Axes, PlainFields, axes_of, either
from .composite import gradient_of
from .dtype_rules import real
from .ops_broadcast import spread, summation
from .ops_mathematic import exp
from .shape_rules import NUMBER, without

__all__ = [
    "LogSoftmax", "LogSoftmaxGradient", "LogSumExp", "Softmax", "SoftmaxGradient", "logsoftmax", "logsumexp", "softmax",
]  # fmt: skip


@dataclass(frozen=True)
class LogSumExp(PlainFields, TensorOp):
    """y = log sum exp(x) over `axes` (all by default), which go away; over all of an NDArray y has shape (1,)"""

    axes: Axes = None

    def infer(self, x: Type) -> Type:
        axes = axes_of("logsumexp", self.axes, len(x.shape))
        if any(x.shape[i] == 0 for i in axes):
            raise ShapeError(f"[logsumexp] needs at least one element along axes {axes}, got {x.shape}")
        return Type(NUMBER if self.axes is None else without(x.shape, axes), real(x).dtype)

    def compute(self, x: Any) -> Any:
        shape = NUMBER if self.axes is None else without(x.shape, axes_of("logsumexp", self.axes, len(x.shape)))
        return array_compat.shaped(kernels(x).logsumexp(x, self.axes), shape)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        (x,) = node.inputs
        axes = axes_of("logsumexp", self.axes, len(x.shape))
        share = exp(x - spread(node, x.shape, axes))
        return spread(out_grad, x.shape, axes) * share


@dataclass(frozen=True)
class Softmax(TensorOp):
    """y = exp(x) / sum exp(x) over the last axis"""

    def infer(self, x: Type) -> Type:
        return _rows("softmax", x)

    def compute(self, x: Any) -> Any:
        return kernels(x).softmax(x)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return SoftmaxGradient()(out_grad, node)


@dataclass(frozen=True)
class SoftmaxGradient(TensorOp):
    """dx = y (g - sum(g y)) over the last axis, y being the softmax"""

    def infer(self, g: Type, y: Type) -> Type:
        return _rows("softmax_gradient", g, y)

    def compute(self, g: Any, y: Any) -> Any:
        return kernels(y).softmax_gradient(g, y)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return gradient_of(lambda g, y: y * (g - _total(g * y)), out_grad, node)


@dataclass(frozen=True)
class LogSoftmax(TensorOp):
    """y = x - log sum exp(x) over the last axis"""

    def infer(self, x: Type) -> Type:
        return _rows("logsoftmax", x)

    def compute(self, x: Any) -> Any:
        return kernels(x).logsoftmax(x)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return LogSoftmaxGradient()(out_grad, node)


@dataclass(frozen=True)
class LogSoftmaxGradient(TensorOp):
    """dx = g - exp(y) sum(g) over the last axis, y being the log-softmax"""

    def infer(self, g: Type, y: Type) -> Type:
        return _rows("logsoftmax_gradient", g, y)

    def compute(self, g: Any, y: Any) -> Any:
        return kernels(y).logsoftmax_gradient(g, y)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return gradient_of(lambda g, y: g - exp(y) * _total(g), out_grad, node)


def _rows(where: str, x: Type, *others: Type) -> Type:
    if not x.shape or x.shape[-1] == 0:
        raise ShapeError(f"[{where}] needs at least one element along the last axis, got {x.shape}")
    if any(other.shape != x.shape for other in others):
        raise ShapeError(f"[{where}] needs one shape, got {x.shape} and {others[0].shape}")
    return real(x)


def _total(x: Tensor) -> Tensor:
    """The sums over the last axis, repeated along it."""
    last = len(x.shape) - 1
    return spread(summation(x, (last,)), x.shape, (last,))


def logsumexp(a: Tensor, axes: Axes = None, *, axis: Axes = None) -> Tensor:
    """log sum exp(a) over `axes`, or `axis` (None: all; an int or several). ShapeError where both names are used."""
    return LogSumExp(either("logsumexp", axes, axis))(a)


def softmax(x: Tensor) -> Tensor:
    """exp(x) / sum exp(x) over the last axis."""
    return Softmax()(x)


def logsoftmax(a: Tensor) -> Tensor:
    """log softmax(a) over the last axis."""
    return LogSoftmax()(a)
