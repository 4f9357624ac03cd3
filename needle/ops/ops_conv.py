"""Convolution of channels-last images, and its two gradients. The three are each other's gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..autograd import Tensor, TensorOp
from ..backend_ndarray.kernels import kernels
from ..errors import ShapeError
from ..types import Type
from .shapes import promoted

__all__ = ["Conv", "ConvInputGradient", "ConvWeightGradient", "conv", "conv_transpose"]


@dataclass(frozen=True)
class Conv(TensorOp):
    """y[n,i,j,o] = sum_{u,v,c} x[n, i stride + u - padding, j stride + v - padding, c] w[u,v,c,o], x being 0 outside

    x (N, H, W, C_in), w (K, K, C_in, C_out), y (N, H', W', C_out) with H' = (H + 2 padding - K) // stride + 1.
    """

    stride: int = 1
    padding: int = 0

    def infer(self, x: Type, w: Type) -> Type:
        kernel = _kernel("conv", x.shape, w.shape, self.stride, self.padding)
        if x.shape[3] != w.shape[2]:
            raise ShapeError(f"[conv] channels must agree, got x (N, H, W, C) {x.shape}, w (K, K, C, O) {w.shape}")
        height, width = (_windows(n, kernel, self.stride, self.padding) for n in x.shape[1:3])
        if height < 1 or width < 1:
            raise ShapeError(f"[conv] kernel {kernel} does not fit {x.shape} with padding {self.padding}")
        return Type((x.shape[0], height, width, w.shape[3]), promoted(x.dtype, w.dtype))

    def compute(self, x: Any, w: Any) -> Any:
        return kernels(x).conv(x, w, self.stride, self.padding)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        x, w = node.inputs
        dx = dw = None
        if x.requires_grad:
            dx = ConvInputGradient(self.stride, self.padding, x.shape[1], x.shape[2])(out_grad, w)
        if w.requires_grad:
            dw = ConvWeightGradient(self.stride, self.padding, w.shape[0])(x, out_grad)
        return dx, dw


@dataclass(frozen=True)
class ConvInputGradient(TensorOp):
    """dx[n,a,b,c] = sum_{i,j,o} g[n,i,j,o] w[a - i stride + padding, b - j stride + padding, c, o]

    The gradient of `Conv` for its input, which had `height` and `width`; also called transposed convolution.
    g (N, H', W', C_out), w (K, K, C_in, C_out), dx (N, height, width, C_in).
    """

    stride: int
    padding: int
    height: int
    width: int

    def infer(self, g: Type, w: Type) -> Type:
        kernel = _kernel("conv_input_gradient", g.shape, w.shape, self.stride, self.padding)
        fits = tuple(_windows(n, kernel, self.stride, self.padding) for n in (self.height, self.width))
        if g.shape[1:3] != fits or g.shape[3] != w.shape[3]:
            raise ShapeError(f"[conv_input_gradient] needs g (N, {fits[0]}, {fits[1]}, {w.shape[3]}), got {g.shape}")
        return Type((g.shape[0], self.height, self.width, w.shape[2]), promoted(g.dtype, w.dtype))

    def compute(self, g: Any, w: Any) -> Any:
        return kernels(g).conv_input_gradient(g, w, self.stride, self.padding, self.height, self.width)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        g, w = node.inputs
        dg = Conv(self.stride, self.padding)(out_grad, w) if g.requires_grad else None
        dw = ConvWeightGradient(self.stride, self.padding, w.shape[0])(out_grad, g) if w.requires_grad else None
        return dg, dw


@dataclass(frozen=True)
class ConvWeightGradient(TensorOp):
    """dw[u,v,c,o] = sum_{n,i,j} x[n, i stride + u - padding, j stride + v - padding, c] g[n,i,j,o]

    The gradient of `Conv` for its weight, which had a `kernel` x `kernel` window.
    x (N, H, W, C_in), g (N, H', W', C_out), dw (kernel, kernel, C_in, C_out).
    """

    stride: int
    padding: int
    kernel: int

    def infer(self, x: Type, g: Type) -> Type:
        window = (self.kernel, self.kernel, 1, 1)
        kernel = _kernel("conv_weight_gradient", x.shape, window, self.stride, self.padding)
        fits = (x.shape[0], *(_windows(n, kernel, self.stride, self.padding) for n in x.shape[1:3]))
        if g.shape[:3] != fits or len(g.shape) != 4:
            raise ShapeError(f"[conv_weight_gradient] needs g ({', '.join(map(str, fits))}, C), got {g.shape}")
        return Type((kernel, kernel, x.shape[3], g.shape[3]), promoted(x.dtype, g.dtype))

    def compute(self, x: Any, g: Any) -> Any:
        return kernels(x).conv_weight_gradient(x, g, self.stride, self.padding, self.kernel)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        x, g = node.inputs
        dx = dg = None
        if x.requires_grad:
            dx = ConvInputGradient(self.stride, self.padding, x.shape[1], x.shape[2])(g, out_grad)
        if g.requires_grad:
            dg = Conv(self.stride, self.padding)(x, out_grad)
        return dx, dg


def _windows(size: int, kernel: int, stride: int, padding: int) -> int:
    """How many windows of `kernel` fit into `size` with `padding` at both ends."""
    return (size + 2 * padding - kernel) // stride + 1


def _kernel(where: str, x: tuple[int, ...], w: tuple[int, ...], stride: int, padding: int) -> int:
    """K, after checking what all three ops need."""
    if len(x) != 4 or len(w) != 4 or w[0] != w[1]:
        raise ShapeError(f"[{where}] needs images (N, H, W, C) and a square weight (K, K, C, O), got {x} and {w}")
    if stride < 1 or padding < 0 or w[0] < 1:
        raise ShapeError(f"[{where}] needs kernel, stride >= 1, padding >= 0, got {w[0]}, {stride}, {padding}")
    return w[0]


def conv(a: Tensor, b: Tensor, stride: int = 1, padding: int = 1) -> Tensor:
    """The convolution of a (N, H, W, C_in) with b (K, K, C_in, C_out), with `padding` zeros around each image."""
    return Conv(stride, padding)(a, b)


def conv_transpose(a: Tensor, b: Tensor, stride: int = 1, padding: int = 0, output_padding: int = 0) -> Tensor:
    """The adjoint of a convolution with b (K, K, C_out, C_in), applied to a (N, H, W, C_in).

    The result is (N, H', W', C_out) with H' = (H - 1) stride - 2 padding + K + output_padding, output_padding < stride.
    """
    if not 0 <= output_padding < max(stride, 1):
        given = f"{output_padding} for stride {stride}"
        raise ShapeError(f"[conv_transpose] output_padding must be 0 or more and less than the stride, got {given}")
    kernel = _kernel("conv_transpose", a.shape, b.shape, stride, padding)
    height, width = ((n - 1) * stride - 2 * padding + kernel + output_padding for n in a.shape[1:3])
    if height < 1 or width < 1:
        raise ShapeError(f"[conv_transpose] padding {padding} leaves nothing of {a.shape} with kernel {kernel}")
    return ConvInputGradient(stride, padding, height, width)(a, b)
