"""Convolution along any number of axes, with windows of any shape: by numpy, a tap at a time; and its two gradients.

`Conv` has kernels for images with square windows; this is for what it does not take.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy

from ..autograd import Tensor, TensorOp
from ..errors import ShapeError
from ..types import Type
from .attributes import PlainFields
from .dtype_rules import one_float
from .plain_op import by_numpy

__all__ = ["ConvND", "ConvNDInputGradient", "ConvNDWeightGradient", "conv_nd"]

Sizes = tuple[int, ...]
Widths = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class ConvND(PlainFields, TensorOp):
    """y[n, i, o] = sum_{u, c} x[n, i stride + u dilation - before, c] w[u, c, o], i, u each several axes, x 0 outside

    x (N, *S, C), w (*K, C / groups, O), y (N, *S', O) with S' = (S + before + after - reach) // stride + 1 and
    reach = (K - 1) dilation + 1. `padding` is (before, after) of each axis.
    """

    stride: Sizes
    padding: Widths
    dilation: Sizes
    groups: int = 1

    def infer(self, x: Type, w: Type) -> Type:
        out = _check("conv_nd", self, x.shape, w.shape)
        if x.shape[-1] != w.shape[-2] * self.groups or w.shape[-1] % self.groups:
            given = f"x {x.shape}, w {w.shape}, groups {self.groups}"
            raise ShapeError(f"[conv_nd] needs x (N, ..., C) and w (..., C / groups, O), got {given}")
        return Type((x.shape[0], *out, w.shape[-1]), one_float("conv_nd", x, w))

    def compute(self, x: Any, w: Any) -> Any:
        return by_numpy(self._value, x, w)

    def _value(self, x: Any, w: Any) -> Any:
        out = _windows(self, x.shape[1:-1], w.shape[:-2])
        wide, groups = _framed(x, self.padding), self.groups
        y = numpy.zeros((groups, x.shape[0] * prod(out), w.shape[-1] // groups), dtype=x.dtype)
        for u, places in _taps(self, out, w.shape[:-2]):
            y += _apart(wide[places], groups) @ _weights(w[u], groups)
        return _together(y, (x.shape[0], *out))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        x, w = node.inputs
        settings = self.stride, self.padding, self.dilation, self.groups
        dx = ConvNDInputGradient(*settings, tuple(x.shape[1:-1]))(out_grad, w) if x.requires_grad else None
        return dx, ConvNDWeightGradient(*settings, tuple(w.shape[:-2]))(x, out_grad) if w.requires_grad else None


@dataclass(frozen=True)
class ConvNDInputGradient(PlainFields, TensorOp):
    """dx[n, a, c] = sum of g[n, i, o] w[u, c, o] over i stride + u dilation - before = a: transposed convolution

    g (N, *S', O), w (*K, C / groups, O), dx (N, *size, C).
    """

    stride: Sizes
    padding: Widths
    dilation: Sizes
    groups: int
    size: Sizes

    def infer(self, g: Type, w: Type) -> Type:
        if len(g.shape) < 3 or len(w.shape) != len(g.shape):
            raise ShapeError(f"[conv_nd_input_gradient] needs g (N, ..., O), w (..., C, O), got {g.shape}, {w.shape}")
        shape = (g.shape[0], *self.size, w.shape[-2] * self.groups)
        out = _check("conv_nd_input_gradient", self, shape, w.shape)
        if g.shape[1:] != (*out, w.shape[-1]) or w.shape[-1] % self.groups:
            raise ShapeError(f"[conv_nd_input_gradient] needs g (N, {out}, {w.shape[-1]}), got {g.shape}")
        return Type(shape, one_float("conv_nd_input_gradient", g, w))

    def compute(self, g: Any, w: Any) -> Any:
        return by_numpy(self._value, g, w)

    def _value(self, g: Any, w: Any) -> Any:
        channels = w.shape[-2] * self.groups
        wide = numpy.zeros((g.shape[0], *_wide(self.size, self.padding), channels), dtype=g.dtype)
        out, apart = g.shape[1:-1], _apart(g, self.groups)
        for u, places in _taps(self, out, w.shape[:-2]):
            step = apart @ _weights(w[u], self.groups).transpose(0, 2, 1)
            wide[places] += _together(step, (g.shape[0], *out))
        inside = tuple(slice(a, a + n) for n, (a, _) in zip(self.size, self.padding, strict=True))
        return numpy.ascontiguousarray(wide[(slice(None), *inside)])

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        g, w = node.inputs
        settings = self.stride, self.padding, self.dilation, self.groups
        dg = ConvND(*settings)(out_grad, w) if g.requires_grad else None
        return dg, ConvNDWeightGradient(*settings, tuple(w.shape[:-2]))(out_grad, g) if w.requires_grad else None


@dataclass(frozen=True)
class ConvNDWeightGradient(PlainFields, TensorOp):
    """dw[u, c, o] = sum_{n, i} x[n, i stride + u dilation - before, c] g[n, i, o], for windows of the shape `kernel`"""

    stride: Sizes
    padding: Widths
    dilation: Sizes
    groups: int
    kernel: Sizes

    def infer(self, x: Type, g: Type) -> Type:
        out = _check("conv_nd_weight_gradient", self, x.shape, (*self.kernel, 1, 1))
        if g.shape[:-1] != (x.shape[0], *out) or x.shape[-1] % self.groups or g.shape[-1] % self.groups:
            raise ShapeError(f"[conv_nd_weight_gradient] needs g ({x.shape[0]}, {out}, O), got {g.shape}")
        shape = (*self.kernel, x.shape[-1] // self.groups, g.shape[-1])
        return Type(shape, one_float("conv_nd_weight_gradient", x, g))

    def compute(self, x: Any, g: Any) -> Any:
        return by_numpy(self._value, x, g)

    def _value(self, x: Any, g: Any) -> Any:
        wide, apart, out = _framed(x, self.padding), _apart(g, self.groups), g.shape[1:-1]
        dw = numpy.zeros((*self.kernel, x.shape[-1] // self.groups, g.shape[-1]), dtype=x.dtype)
        for u, places in _taps(self, out, self.kernel):
            step = _apart(wide[places], self.groups).transpose(0, 2, 1) @ apart  # (groups, C / groups, O / groups)
            dw[u] = step.transpose(1, 0, 2).reshape(dw.shape[-2:])
        return dw

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        x, g = node.inputs
        settings = self.stride, self.padding, self.dilation, self.groups
        dx = ConvNDInputGradient(*settings, tuple(x.shape[1:-1]))(g, out_grad) if x.requires_grad else None
        return dx, ConvND(*settings)(x, out_grad) if g.requires_grad else None


def _windows(op: Any, size: Sizes, kernel: Sizes) -> Sizes:
    """How many windows fit along each axis."""
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, op.dilation, strict=True)]
    rows = zip(size, op.padding, reach, op.stride, strict=True)
    return tuple((n + a + b - r) // s + 1 for n, (a, b), r, s in rows)


def _check(where: str, op: Any, x: Sizes, w: Sizes) -> Sizes:
    """How many windows there are; ShapeError unless everything names the same axes and at least one fits."""
    axes = len(x) - 2
    given = f"x {x}, w {w}, stride {op.stride}, padding {op.padding}, dilation {op.dilation}"
    if axes < 1 or len(w) != len(x) or not len(op.stride) == len(op.padding) == len(op.dilation) == axes:
        raise ShapeError(f"[{where}] needs x (N, ..., C) and a window, stride, padding of each axis, got {given}")
    sane = min(op.stride) > 0 and min(op.dilation) > 0 and min(min(p) for p in op.padding) >= 0 and op.groups > 0
    out = _windows(op, x[1:-1], w[:-2]) if sane and min(w[:-2]) > 0 else (0,)
    if any(n < 1 for n in out):
        raise ShapeError(f"[{where}] no window fits, got {given}")
    return out


def _wide(size: Sizes, padding: Widths) -> Sizes:
    return tuple(n + a + b for n, (a, b) in zip(size, padding, strict=True))


def _framed(x: Any, padding: Widths) -> Any:
    """x with its zeros around it."""
    return numpy.pad(x, [(0, 0), *padding, (0, 0)]) if any(map(any, padding)) else x


def _taps(op: Any, out: Sizes, kernel: Sizes) -> Iterator[tuple[Sizes, tuple[slice, ...]]]:
    """(u, the places of the padded input that tap u meets)."""
    for u in numpy.ndindex(*kernel):
        starts = [k * d for k, d in zip(u, op.dilation, strict=True)]
        ends = [a + (n - 1) * s + 1 for a, n, s in zip(starts, out, op.stride, strict=True)]
        yield u, (slice(None), *(slice(a, b, s) for a, b, s in zip(starts, ends, op.stride, strict=True)))


def _apart(x: Any, groups: int) -> Any:
    """(N, ..., C) as (groups, rows, C / groups)."""
    return x.reshape(prod(x.shape[:-1]), groups, x.shape[-1] // groups).transpose(1, 0, 2)


def _together(y: Any, shape: Sizes) -> Any:
    """(groups, rows, O / groups) as (*shape, O)."""
    return numpy.ascontiguousarray(y.transpose(1, 0, 2)).reshape(*shape, y.shape[0] * y.shape[2])


def _weights(w: Any, groups: int) -> Any:
    """(C / groups, O) as (groups, C / groups, O / groups)."""
    return w.reshape(w.shape[0], groups, w.shape[1] // groups).transpose(1, 0, 2)


def conv_nd(
    x: Tensor, w: Tensor, stride: Sizes, padding: Widths, dilation: Sizes | None = None, groups: int = 1
) -> Tensor:
    """The convolution of x (N, *S, C) with w (*K, C / groups, O), of any number of axes; see `ConvND`."""
    return ConvND(tuple(stride), tuple(padding), dilation or (1,) * len(stride), groups)(x, w)
