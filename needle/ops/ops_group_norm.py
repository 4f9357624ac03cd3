"""Normalisation over groups of channels of each image, and root-mean-square normalisation over the last axis."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from ..autograd import Tensor, TensorTuple, TensorTupleOp
from ..backend_ndarray.kernels import kernels
from ..errors import ShapeError
from ..types import Type
from . import array_compat
from .attributes import PlainFields
from .composite import gradient_of, like_outputs, pullback, saved, wanted
from .dtype_rules import one_float
from .ops_broadcast import broadcast_to, summation
from .ops_reshape import reshape
from .shape_rules import keepdims_shape

__all__ = ["GroupNorm", "GroupNormGradient", "RMSNorm", "RMSNormGradient", "group_norm", "rms_norm"]


@dataclass(frozen=True)
class GroupNorm(PlainFields, TensorTupleOp):
    """y = (x - mean) rstd weight + bias, with mean and rstd = 1 / sqrt(var + eps) of each group of each image

    x (N, ..., C), weight and bias (C,); a group is C / groups neighbouring channels of all pixels of an image. A tuple
    of y, mean (N, groups), rstd (N, groups); mean and rstd count as constants.
    """

    groups: int
    eps: float = 1e-5

    def infer(self, x: Type, weight: Type, bias: Type) -> tuple[Type, ...]:
        if len(x.shape) < 2 or 0 in x.shape or weight.shape != x.shape[-1:] or bias.shape != x.shape[-1:]:
            given = f"{x.shape}, {weight.shape}, {bias.shape}"
            raise ShapeError(f"[group_norm] needs x (N, ..., C) without empty axes, weight and bias (C,), got {given}")
        if self.groups < 1 or x.shape[-1] % self.groups:
            raise ShapeError(f"[group_norm] groups must divide the channels, got {self.groups} for {x.shape[-1]}")
        statistics = Type((x.shape[0], self.groups), one_float("group_norm", x, weight, bias))
        return x, statistics, statistics

    def compute(self, x: Any, weight: Any, bias: Any) -> Any:
        return kernels(x).group_norm(x, weight, bias, self.groups, self.eps)

    def gradient(self, out_grad: TensorTuple, node: Any) -> Any:
        x, weight, _ = node.inputs
        grads = GroupNormGradient(self.groups, self.eps)(out_grad[0], x, weight, saved(node, 1), saved(node, 2))
        return wanted(grads, node.inputs)


@dataclass(frozen=True)
class GroupNormGradient(TensorTupleOp):
    """dx = rstd (h - mean(h) - n mean(h n)), dweight = sum(g n), dbias = sum(g); n = (x - mean) rstd, h = g weight"""

    groups: int
    eps: float = 1e-5

    def infer(self, g: Type, x: Type, weight: Type, mean: Type, rstd: Type) -> tuple[Type, ...]:
        outputs = GroupNorm(self.groups, self.eps).infer(x, weight, weight)
        like_outputs("group_norm_gradient", outputs, g, mean, rstd)
        return x, weight, weight

    def compute(self, g: Any, x: Any, weight: Any, mean: Any, rstd: Any) -> Any:
        return kernels(x).group_norm_gradient(g, x, weight, mean, rstd, self.groups)

    def gradient(self, out_grad: TensorTuple, node: Any) -> Any:
        def formula(g: Tensor, x: Tensor, weight: Tensor, *_: Tensor) -> Any:
            bias = Tensor.make_const(array_compat.zeros(g.realize_cached_data(), weight.shape), requires_grad=True)
            return pullback(lambda x, w, b: group_norm_in_ops(x, w, b, self.groups, self.eps), [x, weight, bias], [g])

        return gradient_of(formula, out_grad, node)


@dataclass(frozen=True)
class RMSNorm(PlainFields, TensorTupleOp):
    """y = x rstd weight, with rstd = 1 / sqrt(mean(x^2) + eps) of each row (over the last axis)

    x (..., D), weight (D,). A tuple of y and rstd (..., 1), which counts as a constant.
    """

    eps: float = 1e-5

    def infer(self, x: Type, weight: Type) -> tuple[Type, ...]:
        if not x.shape or weight.shape != x.shape[-1:]:
            raise ShapeError(f"[rms_norm] needs x (..., D) and a weight (D,), got {x.shape} and {weight.shape}")
        if 0 in x.shape:
            raise ShapeError(f"[rms_norm] needs at least one row of at least one element, got {x.shape}")
        return x, Type((*x.shape[:-1], 1), one_float("rms_norm", x, weight))

    def compute(self, x: Any, weight: Any) -> Any:
        return kernels(x).rms_norm(x, weight, self.eps)

    def gradient(self, out_grad: TensorTuple, node: Any) -> Any:
        x, weight = node.inputs
        return wanted(RMSNormGradient(self.eps)(out_grad[0], x, weight, saved(node, 1)), node.inputs)


@dataclass(frozen=True)
class RMSNormGradient(TensorTupleOp):
    """dx = rstd (h - n mean(h n)), dweight = sum(g n); n = x rstd, h = g weight"""

    eps: float = 1e-5

    def infer(self, g: Type, x: Type, weight: Type, rstd: Type) -> tuple[Type, ...]:
        like_outputs("rms_norm_gradient", RMSNorm(self.eps).infer(x, weight), g, rstd)
        return x, weight

    def compute(self, g: Any, x: Any, weight: Any, rstd: Any) -> Any:
        return kernels(x).rms_norm_gradient(g, x, weight, rstd)

    def gradient(self, out_grad: TensorTuple, node: Any) -> Any:
        def formula(g: Tensor, x: Tensor, weight: Tensor, *_: Tensor) -> Any:
            return pullback(lambda x, weight: rms_norm_in_ops(x, weight, self.eps), [x, weight], [g])

        return gradient_of(formula, out_grad, node)


def _mean(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The mean over `axes`, in the shape of x."""
    total = reshape(summation(x, axes), keepdims_shape(x.shape, axes))
    return broadcast_to(total / prod(x.shape[i] for i in axes), x.shape)


def group_norm_in_ops(x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
    """The value of `GroupNorm`, made of simpler ops."""
    channels = x.shape[-1]
    parts = reshape(x, (x.shape[0], prod(x.shape[1:-1]), groups, channels // groups))
    centred = parts - _mean(parts, (1, 3))
    standard = reshape(centred * (_mean(centred * centred, (1, 3)) + eps) ** -0.5, x.shape)
    return standard * broadcast_to(weight, x.shape) + broadcast_to(bias, x.shape)


def rms_norm_in_ops(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """The value of `RMSNorm`, made of simpler ops."""
    return x * (_mean(x * x, (len(x.shape) - 1,)) + eps) ** -0.5 * broadcast_to(weight, x.shape)


def group_norm(x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float = 1e-5) -> TensorTuple:
    """(y, mean, rstd): each group of channels (the last axis) of x with mean 0 and variance 1.

    Then times weight, plus bias; x (N, ..., C). Raises ShapeError unless `groups` divides the channels.
    """
    return GroupNorm(groups, eps)(x, weight, bias)


def rms_norm(x: Tensor, weight: Tensor, eps: float = 1e-5) -> TensorTuple:
    """(y, rstd): each row (over the last axis) of x with a root mean square of 1, times weight."""
    return RMSNorm(eps)(x, weight)
