"""Softmax and its relatives, over the last axis and safe for large inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy

from ..autograd import Tensor, TensorOp
from ..backend_ndarray.kernels import kernels
from ..errors import ShapeError
from ..types import Type
from . import arrays
from .composite import gradient_of, pullback
from .ops_mathematic import exp
from .ops_shape import reshape, spread, summation
from .shapes import NUMBER, Axes, TupleFields, axes_of, real, without

__all__ = [
    "CrossEntropy", "CrossEntropyGradient", "LogSoftmax", "LogSoftmaxGradient", "LogSumExp", "Softmax",
    "SoftmaxGradient", "cross_entropy", "logsoftmax", "logsumexp", "softmax",
]  # fmt: skip


@dataclass(frozen=True)
class LogSumExp(TupleFields, TensorOp):
    """y = log sum exp(x) over `axes` (all by default), which go away; over all of an NDArray y has shape (1,)"""

    axes: Axes = None

    def infer(self, x: Type) -> Type:
        axes = axes_of("logsumexp", self.axes, len(x.shape))
        if any(x.shape[i] == 0 for i in axes):
            raise ShapeError(f"[logsumexp] needs at least one element along axes {axes}, got {x.shape}")
        return Type(NUMBER if self.axes is None else without(x.shape, axes), real(x).dtype)

    def compute(self, x: Any) -> Any:
        shape = NUMBER if self.axes is None else without(x.shape, axes_of("logsumexp", self.axes, len(x.shape)))
        return arrays.shaped(kernels(x).logsumexp(x, self.axes), shape)

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


@dataclass(frozen=True)
class CrossEntropy(TensorOp):
    """y = mean over rows of log sum exp(x) - (1 - s) x[label] - s mean(x)

    Logits x (N, C), labels (N,) whole numbers in 0..C-1, s = `smoothing`. y has shape (), of NDArrays (1,).
    """

    smoothing: float = 0.0

    def infer(self, logits: Type, labels: Type) -> Type:
        if len(logits.shape) != 2 or labels.shape != logits.shape[:1]:
            raise ShapeError(f"[cross_entropy] needs logits (N, C), labels (N,), got {logits.shape}, {labels.shape}")
        return Type(NUMBER, logits.dtype)

    def compute(self, logits: Any, labels: Any) -> Any:
        return arrays.shaped(kernels(logits).cross_entropy(logits, labels, self.smoothing), NUMBER)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        logits, labels = node.inputs
        return CrossEntropyGradient(self.smoothing)(out_grad, logits, labels), None


@dataclass(frozen=True)
class CrossEntropyGradient(TensorOp):
    """dx = g / N (softmax(x) - (1 - s) onehot(label) - s / C)"""

    smoothing: float = 0.0

    def infer(self, g: Type, logits: Type, labels: Type) -> Type:
        return logits

    def compute(self, g: Any, logits: Any, labels: Any) -> Any:
        return kernels(logits).cross_entropy_gradient(g, logits, labels, self.smoothing)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        def formula(g: Tensor, logits: Tensor, labels: Tensor) -> Any:
            return pullback(lambda x: cross_entropy_in_ops(x, labels, g.shape, self.smoothing), [logits], [g])

        return gradient_of(formula, out_grad, node)


def cross_entropy_in_ops(x: Tensor, labels: Tensor, shape: tuple[int, ...], smoothing: float) -> Tensor:
    """The value of `CrossEntropy`, made of simpler ops."""
    rows, classes = x.shape
    chosen = labels.numpy().astype(int)[:, None] == numpy.arange(classes)
    share = (1 - smoothing) * chosen + smoothing / classes
    target = Tensor.make_const(arrays.constant(x.realize_cached_data(), share))
    return reshape(summation(LogSumExp((1,))(x) - summation(x * target, (1,)), (0,)), shape) / rows


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


def logsumexp(a: Tensor, axes: Axes = None) -> Tensor:
    """log sum exp(a) over `axes` (None: all; an int or several)."""
    return LogSumExp(axes)(a)


def softmax(x: Tensor) -> Tensor:
    """exp(x) / sum exp(x) over the last axis."""
    return Softmax()(x)


def logsoftmax(a: Tensor) -> Tensor:
    """log softmax(a) over the last axis."""
    return LogSoftmax()(a)


def cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """The mean over rows of -log softmax(logits)[label]; `smoothing` of each label is spread over all."""
    return CrossEntropy(smoothing)(logits, labels)
