"""Batch and layer normalisation over the last axis' channels, respectively over the last axis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from ..autograd import Tensor, TensorOp, TensorTuple, TensorTupleOp
from ..backend_ndarray.kernels import kernels
from ..errors import ShapeError
from ..types import Type
from .attributes import PlainFields
from .composite import gradient_of, like_outputs, pullback, saved, wanted
from .dtype_rules import one_float
from .ops_broadcast import broadcast_to, spread, summation

__all__ = [
    "BatchNorm", "BatchNormGradient", "BatchNormInference", "LayerNorm", "LayerNormGradient", "batch_norm",
    "layer_norm",
]  # fmt: skip


@dataclass(frozen=True)
class BatchNorm(PlainFields, TensorTupleOp):
    """y = (x - mean) / sqrt(var + eps) weight + bias, with mean and biased variance of each channel (the last axis)

    x (..., C), weight and bias (C,). A tuple of y, mean (C,), var (C,); mean and var count as constants.
    """

    eps: float = 1e-5

    def infer(self, x: Type, weight: Type, bias: Type) -> tuple[Type, ...]:
        channels = _channels("batch_norm", x, weight, bias)
        return x, Type(channels, x.dtype), Type(channels, x.dtype)

    def compute(self, x: Any, weight: Any, bias: Any) -> Any:
        return kernels(x).batch_norm(x, weight, bias, self.eps)

    def gradient(self, out_grad: TensorTuple, node: Any) -> Any:
        return backward(BatchNormGradient(self.eps), out_grad, node)


@dataclass(frozen=True)
class BatchNormGradient(TensorTupleOp):
    """dx = weight r (g - mean(g) - n mean(g n)), dweight = sum(g n), dbias = sum(g)

    n = (x - mean) r, r = 1 / sqrt(var + eps); sums and means are over all axes but the last.
    """

    eps: float = 1e-5

    def infer(self, g: Type, x: Type, weight: Type, mean: Type, var: Type) -> tuple[Type, ...]:
        like_outputs("batch_norm_gradient", BatchNorm(self.eps).infer(x, weight, weight), g, mean, var)
        return x, weight, weight

    def compute(self, g: Any, x: Any, weight: Any, mean: Any, var: Any) -> Any:
        return kernels(x).batch_norm_gradient(g, x, weight, mean, var, self.eps)

    def gradient(self, out_grad: TensorTuple, node: Any) -> Any:
        rows = tuple(range(len(node.inputs[1].shape) - 1))
        return twice(lambda x: standardized(x, rows, self.eps), out_grad, node)


@dataclass(frozen=True)
class BatchNormInference(PlainFields, TensorOp):
    """y = (x - mean) / sqrt(var + eps) weight + bias with given statistics

    x and y (..., C), all others (C,).
    """

    eps: float = 1e-5

    def infer(self, x: Type, weight: Type, bias: Type, mean: Type, var: Type) -> Type:
        _channels("batch_norm_inference", x, weight, bias, mean, var)
        return x

    def compute(self, x: Any, weight: Any, bias: Any, mean: Any, var: Any) -> Any:
        return kernels(x).batch_norm_inference(x, weight, bias, mean, var, self.eps)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        _, weight, *others = node.inputs
        if not any(x.requires_grad for x in (weight, *others)):  # frozen: the value of x is not needed
            scale = weight * (others[2] + self.eps) ** -0.5
            return out_grad * broadcast_to(scale, out_grad.shape), None, None, None, None

        def formula(x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Tensor:
            scale = weight * (var + self.eps) ** -0.5
            return x * broadcast_to(scale, x.shape) + broadcast_to(bias - mean * scale, x.shape)

        return gradient_of(formula, out_grad, node)


@dataclass(frozen=True)
class LayerNorm(PlainFields, TensorTupleOp):
    """y = (x - mean) rstd weight + bias, with mean and rstd = 1 / sqrt(var + eps) of each row (over the last axis)

    x (..., D), weight and bias (D,). A tuple of y, mean (..., 1), rstd (..., 1); mean and rstd count as constants.
    """

    eps: float = 1e-5

    def infer(self, x: Type, weight: Type, bias: Type) -> tuple[Type, ...]:
        _channels("layer_norm", x, weight, bias)
        statistics = Type((*x.shape[:-1], 1), x.dtype)
        return x, statistics, statistics

    def compute(self, x: Any, weight: Any, bias: Any) -> Any:
        return kernels(x).layer_norm(x, weight, bias, self.eps)

    def gradient(self, out_grad: TensorTuple, node: Any) -> Any:
        return backward(LayerNormGradient(self.eps), out_grad, node)


@dataclass(frozen=True)
class LayerNormGradient(TensorTupleOp):
    """dx = rstd (h - mean(h) - n mean(h n)), dweight = sum(g n), dbias = sum(g); n = (x - mean) rstd, h = g weight"""

    eps: float = 1e-5

    def infer(self, g: Type, x: Type, weight: Type, mean: Type, rstd: Type) -> tuple[Type, ...]:
        like_outputs("layer_norm_gradient", LayerNorm(self.eps).infer(x, weight, weight), g, mean, rstd)
        return x, weight, weight

    def compute(self, g: Any, x: Any, weight: Any, mean: Any, rstd: Any) -> Any:
        return kernels(x).layer_norm_gradient(g, x, weight, mean, rstd)

    def gradient(self, out_grad: TensorTuple, node: Any) -> Any:
        return twice(lambda x: standardized(x, (len(x.shape) - 1,), self.eps), out_grad, node)


def backward(op: TensorTupleOp, out_grad: TensorTuple, node: Any) -> tuple[Any, ...]:
    """The adjoints of x, weight and bias: what `op` computes of them and of the statistics that the node keeps."""
    x, weight = node.inputs[:2]
    statistics = [saved(node, i) for i in range(1, len(node))]
    return wanted(op(out_grad[0], x, weight, *statistics), node.inputs)


def twice(standard: Callable[[Tensor], Tensor], out_grad: TensorTuple, node: Any) -> tuple[Any, ...]:
    """The adjoints of the inputs of a gradient's op, of y = standard(x) weight + bias in simpler ops."""

    def formula(g: Tensor, x: Tensor, weight: Tensor, *_: Tensor) -> Any:
        scaled = pullback(lambda x, weight: standard(x) * broadcast_to(weight, x.shape), [x, weight], [g])
        return *scaled, summation(g, tuple(range(len(g.shape) - 1)))

    return gradient_of(formula, out_grad, node)


def standardized(x: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    """x with mean 0 and variance 1 over `axes`."""
    centred = x - mean_over(x, axes)
    return centred * (mean_over(centred * centred, axes) + eps) ** -0.5


def mean_over(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The mean over `axes`, in the shape of x."""
    return spread(summation(x, axes) / prod(x.shape[i] for i in axes), x.shape, axes)


def _channels(where: str, x: Type, *others: Type) -> tuple[int, ...]:
    """(C,), the shape that each of `others` must have for x (..., C)."""
    if not x.shape or any(other.shape != x.shape[-1:] for other in others):
        given = ", ".join(str(other.shape) for other in others)
        raise ShapeError(f"[{where}] needs x (..., C) and the others (C,), got {x.shape} and {given}")
    if 0 in x.shape:
        raise ShapeError(f"[{where}] needs at least one row of at least one element, got {x.shape}")
    one_float(where, x, *others)
    return x.shape[-1:]


def batch_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> TensorTuple:
    """(y, mean, var): each channel (the last axis) of x with mean 0 and variance 1, times weight, plus bias."""
    return BatchNorm(eps)(x, weight, bias)


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> TensorTuple:
    """(y, mean, rstd): each row (over the last axis) of x with mean 0 and variance 1, times weight, plus bias."""
    return LayerNorm(eps)(x, weight, bias)
