"""Pooling of channels-last images: maxima and means over windows, and the linear maps that means are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..autograd import Tensor, TensorOp
from ..backend_ndarray.bands import Bands, adaptive, sliding
from ..backend_ndarray.kernels import kernels
from ..errors import ShapeError
from ..types import Type
from .attributes import Pair, pair
from .dtype_rules import one_dtype, real

__all__ = [
    "AdaptiveAvgPool", "AdaptiveMaxPool", "AvgPool", "MaxPool", "MaxPoolGradient", "MaxPoolPick", "Resample",
    "adaptive_avg_pool", "adaptive_max_pool", "avg_pool", "max_pool",
]  # fmt: skip


@dataclass(frozen=True)
class MaxPool(TensorOp):
    """y[n,i,j,c] = max_{u,v} x[n, i stride + u - padding, j stride + v - padding, c] over taps (u, v) inside the image

    x (N, H, W, C), y (N, H', W', C) with H' = (H + 2 padding - kernel) // stride + 1; kernel, stride and padding are
    (rows, columns). Of equal numbers the first counts, in the order of memory; NaN is the largest of all.
    """

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)

    def infer(self, x: Type) -> Type:
        return _slid("max_pool", x, self.kernel, self.stride, self.padding)

    def compute(self, x: Any) -> Any:
        return kernels(x).max_pool(x, x, *_sliding(x, self.kernel, self.stride, self.padding))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        (x,) = node.inputs
        return MaxPoolGradient(*_sliding(x, self.kernel, self.stride, self.padding))(out_grad, x)


@dataclass(frozen=True)
class AdaptiveMaxPool(TensorOp):
    """y[n,i,j,c] = max of x[n, a, b, c] over floor(i H / H') <= a < ceil((i + 1) H / H') and likewise b

    x (N, H, W, C), y (N, H', W', C) with (H', W') = size: windows that cover the image evenly.
    """

    size: Pair

    def infer(self, x: Type) -> Type:
        return _adapted("adaptive_max_pool", x, self.size)

    def compute(self, x: Any) -> Any:
        return kernels(x).max_pool(x, x, *_adaptive(x, self.size))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        (x,) = node.inputs
        return MaxPoolGradient(*_adaptive(x, self.size))(out_grad, x)


@dataclass(frozen=True)
class MaxPoolGradient(TensorOp):
    """dx: each g[n,i,j,c] at the place where x is largest in the window of (i, j), summed over windows

    g (N, H', W', C), x and dx (N, H, W, C). Differentiable in g; in x it is piecewise constant.
    """

    rows: Bands
    columns: Bands

    def infer(self, g: Type, x: Type) -> Type:
        shape = (x.shape[0], self.rows.outputs, self.columns.outputs, x.shape[-1]) if x.shape else ()
        if len(x.shape) != 4 or x.shape[1:3] != (self.rows.size, self.columns.size) or g.shape != shape:
            raise ShapeError(f"[max_pool_gradient] needs g {shape} for images {x.shape}, got {g.shape}")
        return Type(x.shape, one_dtype("max_pool_gradient", g, x))

    def compute(self, g: Any, x: Any) -> Any:
        return kernels(g).max_pool_gradient(g, x, self.rows, self.columns)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        g, x = node.inputs
        return MaxPoolPick(self.rows, self.columns)(out_grad, x) if g.requires_grad else None, None


@dataclass(frozen=True)
class MaxPoolPick(TensorOp):
    """y[n,i,j,c] = u where x is largest in the window of (i, j), u and x (N, H, W, C), y (N, H', W', C)"""

    rows: Bands
    columns: Bands

    def infer(self, u: Type, x: Type) -> Type:
        if len(x.shape) != 4 or x.shape[1:3] != (self.rows.size, self.columns.size) or u.shape != x.shape:
            raise ShapeError(f"[max_pool_pick] needs two maps of one shape, got {u.shape} and {x.shape}")
        return Type((x.shape[0], self.rows.outputs, self.columns.outputs, x.shape[3]), one_dtype("max_pool_pick", u, x))

    def compute(self, u: Any, x: Any) -> Any:
        return kernels(u).max_pool(x, u, self.rows, self.columns)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        u, x = node.inputs
        return MaxPoolGradient(self.rows, self.columns)(out_grad, x) if u.requires_grad else None, None


@dataclass(frozen=True)
class AvgPool(TensorOp):
    """y[n,i,j,c] = mean_{u,v} x[n, i stride + u - padding, j stride + v - padding, c] over all taps, x being 0 outside

    As `MaxPool`; zeros of the padding count in the mean, as they do in PyTorch by default.
    """

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)

    def infer(self, x: Type) -> Type:
        return real(_slid("avg_pool", x, self.kernel, self.stride, self.padding))

    def compute(self, x: Any) -> Any:
        return kernels(x).resample(x, *_sliding(x, self.kernel, self.stride, self.padding))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        rows, columns = _sliding(node.inputs[0], self.kernel, self.stride, self.padding)
        return Resample(rows.transposed, columns.transposed)(out_grad)


@dataclass(frozen=True)
class AdaptiveAvgPool(TensorOp):
    """y[n,i,j,c] = mean of x[n, a, b, c] over floor(i H / H') <= a < ceil((i + 1) H / H') and likewise b

    x (N, H, W, C), y (N, H', W', C) with (H', W') = size; size (1, 1) is the mean over the whole image.
    """

    size: Pair

    def infer(self, x: Type) -> Type:
        return real(_adapted("adaptive_avg_pool", x, self.size))

    def compute(self, x: Any) -> Any:
        return kernels(x).resample(x, *_adaptive(x, self.size))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        rows, columns = _adaptive(node.inputs[0], self.size)
        return Resample(rows.transposed, columns.transposed)(out_grad)


@dataclass(frozen=True)
class Resample(TensorOp):
    """y[n,i,j,c] = sum_{a,b} V[i,a] H[j,b] x[n,a,b,c] for two banded matrices V (rows) and H (columns)

    What mean pooling and upsampling do, and their gradients with the transposed matrices.
    """

    rows: Bands
    columns: Bands

    def infer(self, x: Type) -> Type:
        height, width = self.rows.size, self.columns.size
        if len(x.shape) != 4 or x.shape[1:3] != (height, width):
            raise ShapeError(f"[resample] needs images (N, {height}, {width}, C), got {x.shape}")
        return real(Type((x.shape[0], self.rows.outputs, self.columns.outputs, x.shape[3]), x.dtype))

    def compute(self, x: Any) -> Any:
        return kernels(x).resample(x, self.rows, self.columns)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return Resample(self.rows.transposed, self.columns.transposed)(out_grad)


def _slid(where: str, x: Type, kernel: Pair, stride: Pair, padding: Pair) -> Type:
    """The type of what windows sliding over x give."""
    if len(x.shape) != 4:
        raise ShapeError(f"[{where}] needs images (N, H, W, C), got {x.shape}")
    if min(*kernel, *stride) < 1 or min(padding) < 0:
        given = f"{kernel}, {stride}, {padding}"
        raise ShapeError(f"[{where}] needs kernel and stride of 1 or more, padding of 0 or more, got {given}")
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise ShapeError(f"[{where}] padding must be at most half the kernel {kernel}, got {padding}")
    spans = zip(x.shape[1:3], kernel, stride, padding, strict=True)
    height, width = ((size + 2 * p - k) // s + 1 for size, k, s, p in spans)
    if height < 1 or width < 1:
        raise ShapeError(f"[{where}] kernel {kernel} does not fit {x.shape} with padding {padding}")
    return Type((x.shape[0], height, width, x.shape[3]), x.dtype)


def _adapted(where: str, x: Type, size: Pair) -> Type:
    """The type of what windows that cover x evenly give."""
    if len(x.shape) != 4 or 0 in x.shape[1:3]:
        raise ShapeError(f"[{where}] needs images (N, H, W, C) with H, W > 0, got {x.shape}")
    if min(size) < 1:
        raise ShapeError(f"[{where}] needs a size of 1 or more each way, got {size}")
    return Type((x.shape[0], *size, x.shape[3]), x.dtype)


def _sliding(x: Any, kernel: Pair, stride: Pair, padding: Pair) -> tuple[Bands, Bands]:
    """The windows of the rows and of the columns of x (N, H, W, C)."""
    height, width = (sliding(int(x.shape[i + 1]), kernel[i], stride[i], padding[i]) for i in range(2))
    return height, width


def _adaptive(x: Any, size: Pair) -> tuple[Bands, Bands]:
    """The windows of the rows and of the columns of x (N, H, W, C)."""
    return adaptive(int(x.shape[1]), size[0]), adaptive(int(x.shape[2]), size[1])


def max_pool(x: Tensor, kernel: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0) -> Tensor:
    """The maximum of each window of x (N, H, W, C); windows lie side by side unless `stride` says otherwise."""
    return MaxPool(pair(kernel), pair(kernel if stride is None else stride), pair(padding))(x)


def avg_pool(x: Tensor, kernel: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0) -> Tensor:
    """The mean of each window of x (N, H, W, C), zeros of the padding included; windows lie side by side by default."""
    return AvgPool(pair(kernel), pair(kernel if stride is None else stride), pair(padding))(x)


def adaptive_max_pool(x: Tensor, size: int | Pair) -> Tensor:
    """The maxima of `size` windows that cover x (N, H, W, C) evenly."""
    return AdaptiveMaxPool(pair(size))(x)


def adaptive_avg_pool(x: Tensor, size: int | Pair) -> Tensor:
    """The means of `size` windows that cover x (N, H, W, C) evenly; 1 for the mean over the whole image."""
    return AdaptiveAvgPool(pair(size))(x)
