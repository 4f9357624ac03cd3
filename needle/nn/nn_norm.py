"""Normalisation over the batch or over the features."""

from __future__ import annotations

from typing import Any

from .. import autograd, init, ops
from ..autograd import Tensor
from .nn_basic import Module, Parameter, check_features

__all__ = ["BatchNorm1d", "BatchNorm2d", "LayerNorm1d"]


class BatchNorm1d(Module):
    """y = (x - mean) / sqrt(var + eps) weight + bias per feature, over the batch; x (B, dim).

    During training mean and biased var are the batch's, and running <- (1 - momentum) running + momentum batch;
    otherwise they are the running ones. Source: Ioffe and Szegedy, "Batch normalization", 2015.
    """

    def __init__(
        self, dim: int, eps: float = 1e-5, momentum: float = 0.1, device: Any = None, dtype: Any = "float32"
    ) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps
        self.momentum = momentum
        self.weight = Parameter(init.ones(dim, device=device, dtype=dtype))
        self.bias = Parameter(init.zeros(dim, device=device, dtype=dtype))
        self.running_mean = init.zeros(dim, device=device, dtype=dtype)
        self.running_var = init.ones(dim, device=device, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        check_features("BatchNorm1d", x, self.dim, ndim=2)
        return self._normalize(x)

    def _normalize(self, x: Tensor) -> Tensor:
        """The rule above over all axes but the last."""
        if not self.training:
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


class LayerNorm1d(Module):
    """y = (x - mean) / sqrt(var + eps) weight + bias, mean and biased var of each row; x (..., dim).

    Source: Ba, Kiros and Hinton, "Layer normalization", 2016.
    """

    def __init__(self, dim: int, eps: float = 1e-5, device: Any = None, dtype: Any = "float32") -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps
        self.weight = Parameter(init.ones(dim, device=device, dtype=dtype))
        self.bias = Parameter(init.zeros(dim, device=device, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        check_features("LayerNorm1d", x, self.dim)
        return ops.layer_norm(x, self.weight, self.bias, self.eps)[0]
