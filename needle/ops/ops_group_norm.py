"""Normalisation over groups of channels of each image, and root-mean-square normalisation over the last axis."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from ..autograd import Tensor, TensorTuple, TensorTupleOp
from ..backend_ndarray.kernels import kernels
from ..errors import ShapeError
from ..types import Type
from .attributes import PlainFields
from .composite import gradient_of_pullback, like_outputs
from .dtype_rules import one_float
from .ops_broadcast import broadcast_to
from .ops_norm import backward, mean_over, standardized, twice
from .ops_reshape import reshape

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
        return backward(GroupNormGradient(self.groups, self.eps), out_grad, node)


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
        def standard(x: Tensor) -> Tensor:
            width = x.shape[-1] // self.groups
            parts = reshape(x, (x.shape[0], prod(x.shape[1:-1]), self.groups, width))
            return reshape(standardized(parts, (1, 3), self.eps), x.shape)

        return twice(standard, out_grad, node)


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
        return backward(RMSNormGradient(self.eps), out_grad, node)


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
        def formula(x: Tensor, weight: Tensor) -> Tensor:
            rstd = (mean_over(x * x, (len(x.shape) - 1,)) + self.eps) ** -0.5
            return x * rstd * broadcast_to(weight, x.shape)

        return gradient_of_pullback(formula, out_grad, node)


def group_norm(x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float = 1e-5) -> TensorTuple:
    """(y, mean, rstd): each group of channels (the last axis) of x with mean 0 and variance 1.

    Then times weight, plus bias; x (N, ..., C). Raises ShapeError unless `groups` divides the channels.
    """
    return GroupNorm(groups, eps)(x, weight, bias)


def rms_norm(x: Tensor, weight: Tensor, eps: float = 1e-5) -> TensorTuple:
    """(y, rstd): each row (over the last axis) of x with a root mean square of 1, times weight."""
    return RMSNorm(eps)(x, weight)
