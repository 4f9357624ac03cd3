"""Normalisation over the batch, over groups of channels or over the features."""

from __future__ import annotations

from typing import Any

from .. import autograd, init, ops
from ..autograd import Tensor
from ..errors import ShapeError
from ..types import INTEGERS, plain_number
from .module import Module, Parameter, check_features

__all__ = ["BatchNorm1d", "BatchNorm2d", "GroupNorm", "InstanceNorm2d", "LayerNorm", "LayerNorm1d", "RMSNorm"]


class BatchNorm1d(Module):
    """y = (x - mean) / sqrt(var + eps) weight + bias per feature, over the batch; x (B, dim).

    During training mean and biased var are the batch's, and running <- (1 - momentum) running + momentum batch;
    otherwise, and where it is `frozen` (see `nn.freeze`), they are the running ones.
    Source: Ioffe and Szegedy, "Batch normalization", 2015.
    """

    frozen = False  # whether the running statistics belong to what training leaves as it is

    def __init__(
        self, dim: int, eps: float = 1e-5, momentum: float = 0.1, device: Any = None, dtype: Any = "float32"
    ) -> None:
        super().__init__()
        self.dim = dim
        self.eps = plain_number(eps)
        self.momentum = plain_number(momentum)
        self.weight = Parameter(init.ones(dim, device=device, dtype=dtype))
        self.bias = Parameter(init.zeros(dim, device=device, dtype=dtype))
        self.running_mean = init.zeros(dim, device=device, dtype=dtype)
        self.running_var = init.ones(dim, device=device, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        check_features("BatchNorm1d", x, self.dim, ndim=2)
        return self._normalize(x)

    def _normalize(self, x: Tensor) -> Tensor:
        """The rule above over all axes but the last."""
        if not self.training or self.frozen:
            statistics = self.running_mean, self.running_var
            return ops.BatchNormInference(self.eps)(x, self.weight, self.bias, *statistics)
        y, mean, var = ops.batch_norm(x, self.weight, self.bias, self.eps)
        if not autograd.RECOMPUTING:
            self._update(self.running_mean, mean)
            self._update(self.running_var, var)
        return y

    def _update(self, running: Tensor, batch: Tensor) -> None:
        before, now = running.realize_cached_data(), batch.realize_cached_data()  # arrays: no gradient is ever needed
        running.data = Tensor.make_const((before * (1 - self.momentum) + now * self.momentum).astype(running.dtype))


class BatchNorm2d(BatchNorm1d):
    """BatchNorm1d per channel of images, over batch, rows and columns; x (B, dim, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        check_features("BatchNorm2d", x, self.dim, axis=1, ndim=4)
        return ops.permute(self._normalize(ops.permute(x, (0, 2, 3, 1))), (0, 3, 1, 2))


class GroupNorm(Module):
    """y = (x - mean) / sqrt(var + eps) weight + bias, mean and biased var of each group of channels of each image.

    x (B, channels, ...), weight and bias (channels,); a group is channels / groups neighbouring channels, all pixels.
    Raises ShapeError unless `groups` divides the channels. Source: Wu and He, "Group normalization", 2018.
    """

    def __init__(
        self, groups: int, channels: int, eps: float = 1e-5, device: Any = None, dtype: Any = "float32"
    ) -> None:
        super().__init__()
        if not isinstance(groups, INTEGERS) or groups < 1 or channels % groups:
            raise ShapeError(f"[GroupNorm] groups must divide the channels, got {groups} for {channels}")
        self.groups = groups
        self.channels = channels
        self.eps = plain_number(eps)
        self.weight = Parameter(init.ones(channels, device=device, dtype=dtype))
        self.bias = Parameter(init.zeros(channels, device=device, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        check_features(type(self).__name__, x, self.channels, axis=1)
        axes = range(len(x.shape))
        last = ops.permute(x, (0, *axes[2:], 1))
        y = ops.group_norm(last, self.weight, self.bias, self.groups, self.eps)[0]
        return ops.permute(y, (0, axes[-1], *axes[1:-1]))


class InstanceNorm2d(GroupNorm):
    """GroupNorm with one channel to a group: each channel of each image by itself; x (B, channels, H, W).

    Source: Ulyanov, Vedaldi and Lempitsky, "Instance normalization", 2016.
    """

    def __init__(self, channels: int, eps: float = 1e-5, device: Any = None, dtype: Any = "float32") -> None:
        super().__init__(channels, channels, eps, device, dtype)


class RMSNorm(Module):
    """y = x / sqrt(mean(x^2) + eps) weight, the mean over each row; x (..., dim), weight (dim,).

    Source: Zhang and Sennrich, "Root mean square layer normalization", 2019.
    """

    def __init__(self, dim: int, eps: float = 1e-5, device: Any = None, dtype: Any = "float32") -> None:
        super().__init__()
        self.dim = dim
        self.eps = plain_number(eps)
        self.weight = Parameter(init.ones(dim, device=device, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        check_features("RMSNorm", x, self.dim)
        return ops.rms_norm(x, self.weight, self.eps)[0]


class LayerNorm1d(Module):
    """y = (x - mean) / sqrt(var + eps) weight + bias, mean and biased var of each row; x (..., dim).

    Source: Ba, Kiros and Hinton, "Layer normalization", 2016.
    """

    def __init__(self, dim: int, eps: float = 1e-5, device: Any = None, dtype: Any = "float32") -> None:
        super().__init__()
        self.dim = dim
        self.eps = plain_number(eps)
        self.weight = Parameter(init.ones(dim, device=device, dtype=dtype))
        self.bias = Parameter(init.zeros(dim, device=device, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        check_features("LayerNorm1d", x, self.dim)
        return ops.layer_norm(x, self.weight, self.bias, self.eps)[0]


LayerNorm = LayerNorm1d  # which takes rows of any number of axes
