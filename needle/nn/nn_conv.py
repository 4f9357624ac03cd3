"""Convolution of images."""

from __future__ import annotations

import math
from typing import Any

from .. import init, ops
from ..autograd import Tensor
from ..errors import ShapeError
from ..ops.attributes import Pair, pair
from .module import Module, Parameter, check_features

__all__ = ["Conv", "Conv2d", "ConvTranspose2d"]


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
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = _one_size("kernel_size", kernel_size, "Conv")
        self.stride = _one_size("stride", stride, "Conv")
        self.padding = self.kernel_size // 2
        options = {"device": device, "dtype": dtype}
        self.weight = _weight(self.kernel_size, in_channels, out_channels, options)
        self.bias = _bias(self.kernel_size, in_channels, out_channels, options) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        check_features("Conv", x, self.in_channels, axis=1, ndim=4)
        y = ops.conv(ops.permute(x, (0, 2, 3, 1)), self.weight, stride=self.stride, padding=self.padding)
        return _with_bias(y, self.bias)


class Conv2d(Module):
    """y[b, o, i, j] = bias[o] + sum over c, p, q of x[b, c, i s + p d - P, j s + q d - P] weight[p, q, c, o].

    For the stride s, the dilation d and the padding P, a number or (rows, columns); x (B, in_channels, H, W), zero
    outside; y (B, out_channels, H', W') with H' = (H + 2 P - (k - 1) d - 1) // s + 1. In `groups`, each output sees the
    channels of its group alone: groups = in_channels gives every channel a kernel of its own. weight (k, k,
    in_channels / groups, out_channels) is drawn from kaiming_uniform, then bias (out_channels,) from U(-b, b) with
    b = 1 / sqrt(in_channels / groups k^2). Raises ShapeError for sizes that do not fit.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int | Pair = 0,
        groups: int = 1, bias: bool = True, dilation: int = 1, device: Any = None, dtype: Any = "float32",
    ) -> None:  # fmt: skip
        super().__init__()
        if groups < 1 or in_channels % groups or out_channels % groups:
            given = f"{groups} for {in_channels} and {out_channels}"
            raise ShapeError(f"[Conv2d] groups must divide in_channels and out_channels, got {given}")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = _one_size("kernel_size", kernel_size, "Conv2d")
        self.stride = _one_size("stride", stride, "Conv2d")
        top, left = pair(padding)
        self.padding = top if top == left else (top, left)
        self.groups = groups
        self.dilation = _one_size("dilation", dilation, "Conv2d")
        options = {"device": device, "dtype": dtype}
        self.weight = _weight(self.kernel_size, in_channels // groups, out_channels, options)
        self.bias = _bias(self.kernel_size, in_channels // groups, out_channels, options) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        check_features("Conv2d", x, self.in_channels, axis=1, ndim=4)
        options = self.stride, self.padding, self.groups, self.dilation
        return _with_bias(ops.conv(ops.permute(x, (0, 2, 3, 1)), self.weight, *options), self.bias)


class ConvTranspose2d(Module):
    """The adjoint of a convolution: x[b, c, i, j] weight[p, q, o, c] adds to y[b, o, i s + p - P, j s + q - P].

    P = padding; x (B, in_channels, H, W), y (B, out_channels, H', W') with H' = (H - 1) s - 2 P + k + output_padding,
    where output_padding < s chooses among the sizes that a convolution with stride s maps to H. weight (k, k,
    out_channels, in_channels) is drawn from kaiming_uniform with in_channels k^2 inputs, then bias (out_channels,) as
    in Conv2d.
    Raises ShapeError for sizes that do not fit.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0,
        output_padding: int = 0, bias: bool = True, device: Any = None, dtype: Any = "float32",
    ) -> None:  # fmt: skip
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel = _one_size("kernel_size", kernel_size, "ConvTranspose2d")
        self.stride = _one_size("stride", stride, "ConvTranspose2d")
        self.padding = padding
        self.output_padding = output_padding
        if not 0 <= output_padding < self.stride:
            raise ShapeError(
                f"[ConvTranspose2d] output_padding must be 0 or more and less than the stride {stride}, "
                f"got {output_padding}"
            )
        options = {"device": device, "dtype": dtype}
        fans = in_channels * kernel * kernel, out_channels * kernel * kernel
        self.weight = Parameter(
            init.kaiming_uniform(*fans, shape=(kernel, kernel, out_channels, in_channels), **options)
        )
        self.bias = _bias(kernel, in_channels, out_channels, options) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        check_features("ConvTranspose2d", x, self.in_channels, axis=1, ndim=4)
        sizes = self.stride, self.padding, self.output_padding
        y = ops.conv_transpose(ops.permute(x, (0, 2, 3, 1)), self.weight, *sizes)
        return _with_bias(y, self.bias)


def _weight(kernel: int, in_channels: int, out_channels: int, options: dict[str, Any]) -> Parameter:
    """(kernel, kernel, in_channels, out_channels) from kaiming_uniform."""
    area, shape = kernel * kernel, (kernel, kernel, in_channels, out_channels)
    return Parameter(init.kaiming_uniform(in_channels * area, out_channels * area, shape=shape, **options))


def _bias(kernel: int, in_channels: int, out_channels: int, options: dict[str, Any]) -> Parameter:
    """(out_channels,) from U(-b, b), b = 1 / sqrt(in_channels kernel^2)."""
    bound = 1 / math.sqrt(in_channels * kernel * kernel)
    return Parameter(init.rand(out_channels, low=-bound, high=bound, **options))


def _with_bias(y: Tensor, bias: Tensor | None) -> Tensor:
    """y (B, H, W, C) + bias (C,) as images (B, C, H, W)."""
    if bias is not None:
        y = y + ops.broadcast_to(bias, y.shape)
    return ops.permute(y, (0, 3, 1, 2))


def _one_size(what: str, value: int | tuple[int, ...], where: str) -> int:
    """The one number of an int or of equal numbers in a tuple."""
    sizes = set(value) if isinstance(value, tuple) else {value}
    if len(sizes) != 1 or min(sizes) < 1:
        raise ShapeError(f"[{where}] {what} must be one positive size for both axes, got {value}")
    return sizes.pop()
