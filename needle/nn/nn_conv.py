"""Convolution of images."""

from __future__ import annotations

import math
from typing import Any

from .. import init, ops
from ..autograd import Tensor
from ..errors import ShapeError
from .nn_basic import Module, Parameter, check_features

__all__ = ["Conv"]


class Conv(Module):
    """y[b, o, i, j] = bias[o] + sum over c, p, q of x[b, c, i s + p - k//2, j s + q - k//2] weight[p, q, c, o].

    x (B, in_channels, H, W), zero outside; y (B, out_channels, H', W') with H' = (H + 2 (k//2) - k) // s + 1. weight
    (k, k, in_channels, out_channels) is drawn from kaiming_uniform, then bias (out_channels,) from
    U(-b, b), b = 1 / sqrt(in_channels k^2). Raises ShapeError for sizes that do not fit.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, bias: bool = True,
        device: Any = None, dtype: Any = "float32",
    ) -> None:  # fmt: skip
        super().__init__()
        kernel_size = _one_size("kernel_size", kernel_size)
        stride = _one_size("stride", stride)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = kernel_size // 2
        area = kernel_size * kernel_size
        options = {"device": device, "dtype": dtype}
        shape = (kernel_size, kernel_size, in_channels, out_channels)
        self.weight = Parameter(init.kaiming_uniform(in_channels * area, out_channels * area, shape=shape, **options))
        self.bias = None
        if bias:
            bound = 1 / math.sqrt(in_channels * area)
            self.bias = Parameter(init.rand(out_channels, low=-bound, high=bound, **options))

    def forward(self, x: Tensor) -> Tensor:
        check_features("Conv", x, self.in_channels, axis=1, ndim=4)
        y = ops.conv(ops.permute(x, (0, 2, 3, 1)), self.weight, stride=self.stride, padding=self.padding)
        if self.bias is not None:
            y = y + ops.broadcast_to(self.bias, y.shape)
        return ops.permute(y, (0, 3, 1, 2))


def _one_size(what: str, value: int | tuple[int, ...]) -> int:
    """The one number of an int or of equal numbers in a tuple."""
    sizes = set(value) if isinstance(value, tuple) else {value}
    if len(sizes) != 1 or min(sizes) < 1:
        raise ShapeError(f"[Conv] {what} must be one positive size for both axes, got {value}")
    return sizes.pop()
