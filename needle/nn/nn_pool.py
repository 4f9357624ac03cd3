"""Pooling and upsampling of images (B, C, H, W).

Memory stays channels-last: the layers permute views, nothing is copied.
"""

from __future__ import annotations

from collections.abc import Callable

from .. import ops
from ..autograd import Tensor
from ..errors import ShapeError
from ..ops.attributes import Pair
from .module import Module

__all__ = ["AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "AvgPool2d", "MaxPool2d", "Upsample"]


class MaxPool2d(Module):
    """y[b, c, i, j] = the maximum of x[b, c] over the window of (i, j); x (B, C, H, W), y (B, C, H', W').

    H' = (H + 2 padding - kernel_size) // stride + 1; sizes are numbers or (rows, columns), windows lie side by side
    unless `stride` says otherwise, padding is at most half the kernel and never the maximum. The gradient goes to the
    first of equal numbers. Raises ShapeError for sizes that do not fit.
    """

    def __init__(self, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        return channels_last("MaxPool2d", x, lambda x: ops.max_pool(x, self.kernel_size, self.stride, self.padding))


class AvgPool2d(Module):
    """y[b, c, i, j] = the mean of x[b, c] over the window of (i, j); x (B, C, H, W), y (B, C, H', W').

    Zeros of the padding are included in the mean, as in PyTorch by default; everything else is as in MaxPool2d.
    """

    def __init__(self, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        return channels_last("AvgPool2d", x, lambda x: ops.avg_pool(x, self.kernel_size, self.stride, self.padding))


class AdaptiveMaxPool2d(Module):
    """The maxima over `size` windows that cover the image evenly; x (B, C, H, W), y (B, C, *size).

    Row i of H' reads rows floor(i H / H') to ceil((i + 1) H / H') of H; `size` is a number or (rows, columns).
    """

    def __init__(self, size: int | Pair) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return channels_last("AdaptiveMaxPool2d", x, lambda x: ops.adaptive_max_pool(x, self.size))


class AdaptiveAvgPool2d(Module):
    """The means over `size` windows that cover the image evenly, as AdaptiveMaxPool2d has them; 1: the global mean.

    x (N, C, H, W), y (N, C, *size).
    """

    def __init__(self, size: int | Pair = 1) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return channels_last("AdaptiveAvgPool2d", x, lambda x: ops.adaptive_avg_pool(x, self.size))


class Upsample(Module):
    """Images `scale` times as large (rounded down) or of the given `size`; x (B, C, H, W), y (B, C, H', W').

    Each pixel is the nearest one of x, or with mode "bilinear" lies between the four around it, edges held (PyTorch's
    align_corners=False). Scale and size are a number or (rows, columns). Raises ShapeError unless one of them is given.
    """

    def __init__(
        self, scale: float | tuple[float, float] | None = None, mode: str = "nearest", size: int | Pair | None = None
    ) -> None:
        super().__init__()
        if (scale is None) == (size is None) or mode not in ("nearest", "bilinear"):
            needs = "either a scale or a size, and a mode of nearest or bilinear"
            raise ShapeError(f"[Upsample] needs {needs}, got {scale}, {size} and {mode!r}")
        self.scale = scale
        self.mode = mode
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return channels_last("Upsample", x, lambda x: ops.upsample(x, self.scale, self.mode, self.size))


def channels_last(where: str, x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """`function` of images (B, H, W, C), for images (B, C, H, W)."""
    if len(x.shape) != 4:
        raise ShapeError(f"[{where}] needs images (B, C, H, W), got shape {tuple(x.shape)}")
    return ops.permute(function(ops.permute(x, (0, 2, 3, 1))), (0, 3, 1, 2))
