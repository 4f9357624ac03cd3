"""Convolution of channels-last images, and its two gradients. The three are each other's gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..autograd import Tensor, TensorOp
from ..backend_ndarray.kernels import kernels
from ..errors import DTypeError, ShapeError
from ..types import Type
from .attributes import Pair, PlainFields, pair
from .bilinear import Bilinear
from .dtype_rules import one_float

__all__ = ["Conv", "ConvInputGradient", "ConvWeightGradient", "conv", "conv_transpose"]


@dataclass(frozen=True)
class Conv(PlainFields, Bilinear):
    """y[n,i,j,o] = sum_{u,v,c} x[n, i stride + u - padding, j stride + v - padding, c] w[u,v,c,o], x being 0 outside

    x (N, H, W, C_in), w (K, K, C_in / groups, C_out), y (N, H', W', C_out) with H' = (H + 2 padding - K) // stride + 1.
    Padding is a number or (rows, columns). In groups, each C_out / groups outputs in a row meet only the channels of
    their group. The taps of a dilated kernel lie `dilation` apart.
    """

    stride: int = 1
    padding: int | Pair = 0
    groups: int = 1
    dilation: int = 1

    def infer(self, x: Type, w: Type) -> Type:
        _check("conv", self, x.shape, w.shape)
        if x.shape[3] != w.shape[2] * self.groups or w.shape[3] % self.groups:
            share = "C" if self.groups == 1 else f"C / {self.groups}"
            given = f"x (N, H, W, C) {x.shape}, w (K, K, {share}, O) {w.shape}, groups {self.groups}"
            raise ShapeError(f"[conv] channels must agree, got {given}")
        height, width = _windows(self, x.shape, w.shape[0])
        if height < 1 or width < 1:
            reach = _reach(self, w.shape[0])
            raise ShapeError(f"[conv] kernel {reach} does not fit {x.shape} with padding {self.padding}")
        return Type((x.shape[0], height, width, w.shape[3]), one_float("conv", x, w))

    def compute(self, x: Any, w: Any) -> Any:
        if _dense(self):
            return kernels(x).conv(x, w, self.stride, self.padding)
        return kernels(x).grouped_conv(x, w, self.stride, pair(self.padding), self.groups, self.dilation)

    def input_gradient(self, g: Tensor, x: Tensor, w: Tensor) -> Tensor:
        """dx, a `ConvInputGradient`."""
        return _input_gradient(self, x)(g, w)

    def weight_gradient(self, g: Tensor, x: Tensor, w: Tensor) -> Tensor:
        """dw, a `ConvWeightGradient`."""
        return _weight_gradient(self, w)(x, g)


@dataclass(frozen=True)
class ConvInputGradient(TensorOp):
    """dx[n,a,b,c] = sum_{i,j,o} g[n,i,j,o] w[a - i stride + padding, b - j stride + padding, c, o]

    The gradient of `Conv` for its input, which had `height` and `width`; also called transposed convolution.
    g (N, H', W', C_out), w (K, K, C_in / groups, C_out), dx (N, height, width, C_in).
    """

    stride: int
    padding: int | Pair
    height: int
    width: int
    groups: int = 1
    dilation: int = 1

    def infer(self, g: Type, w: Type) -> Type:
        _check("conv_input_gradient", self, g.shape, w.shape)
        fits = _windows(self, (0, self.height, self.width, 0), w.shape[0])
        if g.shape[1:3] != fits or g.shape[3] != w.shape[3] or w.shape[3] % self.groups:
            raise ShapeError(f"[conv_input_gradient] needs g (N, {fits[0]}, {fits[1]}, {w.shape[3]}), got {g.shape}")
        dtype = one_float("conv_input_gradient", g, w)
        return Type((g.shape[0], self.height, self.width, w.shape[2] * self.groups), dtype)

    def compute(self, g: Any, w: Any) -> Any:
        if _dense(self):
            return kernels(g).conv_input_gradient(g, w, self.stride, self.padding, self.height, self.width)
        size = pair(self.padding), self.height, self.width
        return kernels(g).grouped_conv_input_gradient(g, w, self.stride, *size, self.groups, self.dilation)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        g, w = node.inputs
        dg = _conv(self)(out_grad, w) if g.requires_grad else None
        return dg, _weight_gradient(self, w)(out_grad, g) if w.requires_grad else None


@dataclass(frozen=True)
class ConvWeightGradient(TensorOp):
    """dw[u,v,c,o] = sum_{n,i,j} x[n, i stride + u - padding, j stride + v - padding, c] g[n,i,j,o]

    The gradient of `Conv` for its weight, which had a `kernel` x `kernel` window.
    x (N, H, W, C_in), g (N, H', W', C_out), dw (kernel, kernel, C_in / groups, C_out).
    """

    stride: int
    padding: int | Pair
    kernel: int
    groups: int = 1
    dilation: int = 1

    def infer(self, x: Type, g: Type) -> Type:
        _check("conv_weight_gradient", self, x.shape, (self.kernel, self.kernel, 1, 1))
        fits = (x.shape[0], *_windows(self, x.shape, self.kernel))
        if min(fits[1:]) < 1:
            raise ShapeError(f"[conv_weight_gradient] kernel {self.kernel} does not fit {x.shape}")
        if g.shape[:3] != fits or len(g.shape) != 4 or x.shape[3] % self.groups or g.shape[3] % self.groups:
            raise ShapeError(f"[conv_weight_gradient] needs g ({', '.join(map(str, fits))}, C), got {g.shape}")
        shape = (self.kernel, self.kernel, x.shape[3] // self.groups, g.shape[3])
        return Type(shape, one_float("conv_weight_gradient", x, g))

    def compute(self, x: Any, g: Any) -> Any:
        if _dense(self):
            return kernels(x).conv_weight_gradient(x, g, self.stride, self.padding, self.kernel)
        size = pair(self.padding), self.kernel
        return kernels(x).grouped_conv_weight_gradient(x, g, self.stride, *size, self.groups, self.dilation)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        x, g = node.inputs
        dx = _input_gradient(self, x)(g, out_grad) if x.requires_grad else None
        return dx, _conv(self)(x, out_grad) if g.requires_grad else None


def _conv(op: Any) -> Conv:
    """The convolution with the settings of `op`, one of the three."""
    return Conv(op.stride, op.padding, op.groups, op.dilation)


def _input_gradient(op: Any, x: Tensor) -> ConvInputGradient:
    return ConvInputGradient(op.stride, op.padding, x.shape[1], x.shape[2], op.groups, op.dilation)


def _weight_gradient(op: Any, w: Tensor) -> ConvWeightGradient:
    return ConvWeightGradient(op.stride, op.padding, w.shape[0], op.groups, op.dilation)


def _dense(op: Any) -> bool:
    """Whether the kernels of plain convolution serve: one group, no dilation, one number for the padding."""
    return op.groups == 1 and op.dilation == 1 and isinstance(op.padding, int)


def _reach(op: Any, kernel: int) -> Any:
    """How many positions a kernel spans, those between its taps included."""
    return (kernel - 1) * op.dilation + 1


def _windows(op: Any, shape: tuple[int, ...], kernel: int) -> Pair:
    """How many windows fit into the rows and columns of images (N, H, W, C), padded at both ends."""
    top, left = pair(op.padding)
    reach = _reach(op, kernel)
    return (shape[1] + 2 * top - reach) // op.stride + 1, (shape[2] + 2 * left - reach) // op.stride + 1


def _check(where: str, op: Any, x: tuple[int, ...], w: tuple[int, ...]) -> None:
    """What all three ops need."""
    if len(x) != 4 or len(w) != 4 or w[0] != w[1]:
        raise ShapeError(f"[{where}] needs images (N, H, W, C) and a square weight (K, K, C, O), got {x} and {w}")
    if op.stride < 1 or min(pair(op.padding)) < 0 or w[0] < 1:
        given = f"{w[0]}, {op.stride}, {op.padding}"
        raise ShapeError(f"[{where}] needs kernel, stride >= 1, padding >= 0, got {given}")
    if op.groups < 1 or op.dilation < 1:
        raise ShapeError(f"[{where}] needs groups and dilation of 1 or more, got {op.groups} and {op.dilation}")


def conv(
    a: Tensor, b: Tensor, stride: int = 1, padding: int | Pair = 1, groups: int = 1, dilation: int = 1
) -> Tensor:
    """The convolution of a (N, H, W, C_in) with b (K, K, C_in / groups, C_out), `padding` zeros around each image.

    See `Conv`. Raises ShapeError for sizes that do not fit.
    """
    return Conv(stride, padding, groups, dilation)(a, b)


def conv_transpose(
    a: Tensor, b: Tensor, stride: int = 1, padding: int | Pair = 0, output_padding: int = 0, groups: int = 1,
    dilation: int = 1,
) -> Tensor:  # fmt: skip
    """The adjoint of a convolution with b (K, K, C_out / groups, C_in), applied to a (N, H, W, C_in).

    The result is (N, H', W', C_out) with H' = (H - 1) stride - 2 padding + (K - 1) dilation + 1 + output_padding, where
    0 <= output_padding < stride. Raises ShapeError for sizes that do not fit, DTypeError for what is no Tensor.
    """
    for x in (a, b):
        if not isinstance(x, Tensor):
            raise DTypeError(f"[conv_transpose] needs Tensors, got {type(x).__name__}")
    op = ConvInputGradient(stride, padding, 0, 0, groups, dilation)
    _check("conv_transpose", op, a.shape, b.shape)
    if not 0 <= output_padding < stride:
        given = f"{output_padding} for stride {stride}"
        raise ShapeError(f"[conv_transpose] output_padding must be 0 or more and less than the stride, got {given}")
    spans = zip(a.shape[1:3], pair(padding), strict=True)
    height, width = ((n - 1) * stride - 2 * p + _reach(op, b.shape[0]) + output_padding for n, p in spans)
    if height < 1 or width < 1:
        raise ShapeError(f"[conv_transpose] padding {padding} leaves nothing of {a.shape} with kernel {b.shape[0]}")
    return ConvInputGradient(stride, padding, height, width, groups, dilation)(a, b)
