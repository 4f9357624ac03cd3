"""Losses with kernels of their own: cross entropy and the squared difference."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..autograd import Tensor, TensorOp
from ..backend_ndarray.kernels import kernels, pointwise
from ..backend_ndarray.plain.pointwise import floats
from ..errors import NeedleError, ShapeError
from ..types import Type
from . import array_compat
from .attributes import PlainFields
from .composite import gradient_of, pullback
from .dtype_rules import elementwise, floating, one_float, real
from .op_function import function
from .ops_broadcast import broadcast_to, filled, sum_to, summation
from .ops_cast import cast
from .ops_compare import equal, not_equal, where
from .ops_logarithmic import LogSumExp
from .ops_mathematic import Clip
from .ops_reshape import reshape
from .ops_sequence import iota
from .pointwise import Pointwise
from .shape_rules import NUMBER

__all__ = [
    "CrossEntropy", "CrossEntropyGradient", "Huber", "SquaredDifference", "SquaredDifferenceGradient", "cross_entropy",
    "huber", "squared_difference",
]  # fmt: skip

REDUCTIONS = ("mean", "sum", "none")


@dataclass(frozen=True)
class CrossEntropy(PlainFields, TensorOp):
    """y = mean over rows of log sum exp(x) - (1 - s) x[label] - s mean(x)

    Logits x (N, C), labels (N,) whole numbers in 0..C-1, s = `smoothing`. Rows with the label `ignore_index` count for
    nothing; where all are ignored y is 0. y has shape (), of NDArrays (1,). The `reduction` may be "sum" instead of
    "mean", or "none": y (N,) then holds a loss for each row, 0 for those ignored.
    """

    smoothing: float = 0.0
    ignore_index: int | None = None
    reduction: str = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.reduction, str) or self.reduction not in REDUCTIONS:
            raise NeedleError(f"[cross_entropy] reduction must be one of {REDUCTIONS}, got {self.reduction!r}")

    def infer(self, logits: Type, labels: Type) -> Type:
        _check("cross_entropy", logits, labels)
        return Type(self._shape(logits.shape), one_float("cross_entropy", logits))

    def compute(self, logits: Any, labels: Any) -> Any:
        options = (self.smoothing, self.ignore_index, self.reduction)
        return array_compat.shaped(kernels(logits).cross_entropy(logits, labels, *options), self._shape(logits.shape))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        logits, labels = node.inputs
        options = (self.smoothing, self.ignore_index, self.reduction)
        return CrossEntropyGradient(*options)(out_grad, logits, labels), None

    def _shape(self, logits: tuple[int, ...]) -> tuple[int, ...]:
        return logits[:1] if self.reduction == "none" else NUMBER


@dataclass(frozen=True)
class CrossEntropyGradient(PlainFields, TensorOp):
    """dx = g / N (softmax(x) - (1 - s) onehot(label) - s / C), N counting the rows that are not ignored"""

    smoothing: float = 0.0
    ignore_index: int | None = None
    reduction: str = "mean"

    def infer(self, g: Type, logits: Type, labels: Type) -> Type:
        _check("cross_entropy_gradient", logits, labels)
        if g.shape not in ([labels.shape] if self.reduction == "none" else [(), (1,)]):
            raise ShapeError(f"[cross_entropy_gradient] needs g of the shape of the loss, got {g.shape}")
        return logits

    def compute(self, g: Any, logits: Any, labels: Any) -> Any:
        options = (self.smoothing, self.ignore_index, self.reduction)
        return kernels(logits).cross_entropy_gradient(g, logits, labels, *options)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        def formula(g: Tensor, logits: Tensor, labels: Tensor) -> Any:
            return pullback(lambda x: cross_entropy_in_ops(self, x, labels, g.shape), [logits], [g])

        return gradient_of(formula, out_grad, node)


def _check(where: str, logits: Type, labels: Type) -> None:
    """Raise ShapeError unless these are logits of at least one row and one class, and a label for each row."""
    if len(logits.shape) != 2 or labels.shape != logits.shape[:1]:
        raise ShapeError(f"[{where}] needs logits (N, C), labels (N,), got {logits.shape}, {labels.shape}")
    if 0 in logits.shape:
        raise ShapeError(f"[{where}] needs at least one row and one class, got {logits.shape}")


def cross_entropy_in_ops(op: Any, x: Tensor, labels: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The value of `CrossEntropy` in `shape`, made of simpler ops."""
    rows, classes = x.shape
    wide = broadcast_to(reshape(cast(labels, "int64"), (rows, 1)), x.shape)  # which may be too narrow to count classes
    target = cast(equal(wide, iota(wide, 1)), x.dtype) * (1 - op.smoothing) + op.smoothing / classes
    losses = LogSumExp((1,))(x) - summation(x * target, (1,))
    count = filled((), rows, x)
    if op.ignore_index is not None:
        counted = not_equal(labels, op.ignore_index)
        losses, count = where(counted, losses, 0.0), Clip(1.0, math.inf)(summation(cast(counted, x.dtype), (0,)))
    if op.reduction == "none":
        return losses
    total = summation(losses, (0,))
    return reshape(total / count if op.reduction == "mean" else total, shape)


class SquaredDifference(Pointwise, name="squared_difference", operands=2, result=floating, promotes=True):
    """y = (a - b)^2, of integers as floats"""

    def plain(self, a: Any, b: Any) -> Any:
        return (floats(a) - floats(b)) ** 2

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        a, b = node.inputs
        slope = SquaredDifferenceGradient()(out_grad, a, b)
        return sum_to(slope, a), sum_to(-slope, b) if b.requires_grad else None


class SquaredDifferenceGradient(Pointwise, name="squared_difference_gradient", operands=3):
    """da = 2 g (a - b)"""

    def infer(self, g: Type, a: Type, b: Type) -> Type:
        return elementwise(self.name, g, elementwise(self.name, a, b))

    def compute(self, *operands: Any) -> Any:
        g, a, b = operands
        return pointwise(self.name, self.plain, g, *array_compat.aligned(a, b))

    def plain(self, g: Any, a: Any, b: Any) -> Any:
        return 2 * g * (floats(a) - floats(b))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        g, a, b = node.inputs
        both = out_grad * g * 2
        return SquaredDifferenceGradient()(out_grad, a, b), sum_to(both, a), sum_to(-both, b)


@dataclass(frozen=True)
class Huber(PlainFields, TensorOp):
    """y = c (d - c / 2), c = min(max(d, -delta), delta): d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2)"""

    delta: float = 1.0

    def infer(self, d: Type) -> Type:
        return real(d)

    def compute(self, d: Any) -> Any:
        c = Clip(-self.delta, self.delta).compute(d)
        return c * (d - c * 0.5)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return out_grad * Clip(-self.delta, self.delta)(node.inputs[0])


def cross_entropy(
    logits: Tensor, labels: Tensor, smoothing: float = 0.0, ignore_index: int | None = None, reduction: str = "mean"
) -> Tensor:
    """The mean over rows of -log softmax(logits)[label]; `smoothing` of each label is spread over all.

    Rows with the label `ignore_index` count for nothing. See `CrossEntropy`.
    """
    return CrossEntropy(smoothing, ignore_index, reduction)(logits, labels)


squared_difference = function(SquaredDifference, "(a - b)^2, elementwise.")


def huber(d: Tensor, delta: float = 1.0) -> Tensor:
    """d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2), elementwise."""
    return Huber(delta)(d)
