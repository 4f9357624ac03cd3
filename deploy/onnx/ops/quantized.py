"""Quantisation: floats as small integers with a scale and a zero point, and exact products of such integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy

from needle.errors import ShapeError
from needle.ops.ops_conv_nd import ConvND
from needle.types import Type

from ..dtypes import SMALL_FLOATS, limits, numpy_dtype
from .base import NumpyOp
from .numbers import small_float


def along(value: Any, x: Any, axis: int, block: int) -> Any:
    """A scale or zero point, per tensor, per axis or per block along it, in the shape of x."""
    value = numpy.asarray(value)
    if value.size == 1 and block == 0:
        return value.reshape(())
    if block:
        wide = numpy.repeat(value, block, axis)
        return wide[tuple(slice(0, n) for n in x.shape)]
    return value.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])


@dataclass(frozen=True)
class QuantizeLinear(NumpyOp):
    """y = saturate(round(x / scale) + zero), rounded half to even

    The scale is of the tensor, of each place along `axis`, or of each `block` of places.
    """

    axis: int
    block: int
    dtype: str
    saturate: bool = True
    precision: str = "float32"

    def infer(self, x: Type, scale: Type, *zero: Type) -> Type:
        _check(self, x, scale)
        return Type(x.shape, self.dtype)

    def value(self, x: Any, scale: Any, *zero: Any) -> Any:
        kind = "float64" if x.dtype == "float64" else self.precision
        wide = numpy_dtype(kind)
        y = x.astype(wide) / along(scale, x, self.axis, self.block).astype(wide)
        if self.dtype in SMALL_FLOATS:
            if zero:
                y = y + along(zero[0], x, self.axis, self.block).astype("float32")
            return small_float(y.astype("float32"), self.dtype, self.saturate, "")
        y = numpy.rint(y.astype("float64"))
        if zero:
            y = y + along(zero[0].astype("int64"), x, self.axis, self.block)
        low, high = limits(self.dtype)
        y = numpy.where(numpy.isnan(y), 0, y)
        return numpy.clip(y, int(low), int(high)).astype("int64").astype(numpy_dtype(self.dtype))


@dataclass(frozen=True)
class DequantizeLinear(NumpyOp):
    """y = (x - zero) scale, in the dtype of the scale or the one given"""

    axis: int
    block: int
    dtype: str

    def infer(self, x: Type, scale: Type, *zero: Type) -> Type:
        _check(self, x, scale)
        return Type(x.shape, self.dtype)

    def value(self, x: Any, scale: Any, *zero: Any) -> Any:
        small = str(x.dtype) in SMALL_FLOATS
        y = x.astype("float32" if small else "int64")
        if zero:
            y = y - along(zero[0].astype(y.dtype), x, self.axis, self.block)
        return (y.astype("float32") * along(scale, x, self.axis, self.block).astype("float32")).astype(
            numpy_dtype(self.dtype)
        )


def _check(op: Any, x: Type, scale: Type) -> None:
    if op.block and len(scale.shape) != len(x.shape):
        raise ShapeError(f"[quantize] blocks need a scale with the axes of {x.shape}, got {scale.shape}")
    per_axis = len(scale.shape) == 1 and scale.shape[0] != 1 and not op.block
    if per_axis and (not -len(x.shape) <= op.axis < len(x.shape) or scale.shape[0] != x.shape[op.axis]):
        raise ShapeError(f"[quantize] needs a scale for each place of axis {op.axis} of {x.shape}, got {scale.shape}")


@dataclass(frozen=True)
class MatMulInteger(NumpyOp):
    """y = (a - a zero) @ (b - b zero), exact in int32"""

    def infer(self, a: Type, b: Type, *zeros: Type) -> Type:
        from needle.ops import MatMul

        return Type(MatMul().infer(Type(a.shape, "float32"), Type(b.shape, "float32")).shape, "int32")

    def value(self, a: Any, b: Any, *zeros: Any) -> Any:
        return numpy.asarray(numpy.matmul(*shifted(a, b, zeros))).astype("int32")


def shifted(a: Any, b: Any, zeros: tuple[Any, ...]) -> tuple[Any, Any]:
    """Both without their zero points, in float64, where products and sums of bytes are exact."""
    a, b = a.astype("float64"), b.astype("float64")
    if zeros:
        zero = zeros[0].astype("float64")
        a = a - (zero.reshape(*zero.shape, 1) if zero.ndim == 1 and zero.size > 1 else zero)
    if len(zeros) > 1:
        b = b - zeros[1].astype("float64")
    return a, b


@dataclass(frozen=True)
class ConvInteger(NumpyOp):
    """y = the convolution of x - its zero with w - its zero, exact in int32; x (N, C, *S), w (O, C / groups, *K)"""

    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int

    def infer(self, x: Type, w: Type, *zeros: Type) -> Type:
        first = Type((x.shape[0], *x.shape[2:], x.shape[1]), "float32")
        second = Type((*w.shape[2:], w.shape[1], w.shape[0]), "float32")
        out = ConvND(self.stride, self.padding, self.dilation, self.groups).infer(first, second).shape
        return Type((out[0], out[-1], *out[1:-1]), "int32")

    def value(self, x: Any, w: Any, *zeros: Any) -> Any:
        x, w = x.astype("float64"), w.astype("float64")
        if zeros:
            x = x - zeros[0].astype("float64")
        if len(zeros) > 1:
            zero = zeros[1].astype("float64")
            w = w - (zero.reshape(-1, *(1,) * (w.ndim - 1)) if zero.size > 1 else zero)
        axes = range(2, x.ndim)
        y = ConvND(self.stride, self.padding, self.dilation, self.groups)._value(
            x.transpose(0, *axes, 1), w.transpose(*axes, 1, 0)
        )
        return numpy.moveaxis(y, -1, 1).astype("int32")


@dataclass(frozen=True)
class Requantize(NumpyOp):
    """y = saturate(round(x scale) + zero): sums of products as small integers, a scale of all or of `axis`"""

    axis: int
    dtype: str

    def infer(self, x: Type, scale: Type, zero: Type) -> Type:
        return Type(x.shape, self.dtype)

    def value(self, x: Any, scale: Any, zero: Any) -> Any:
        y = x.astype("float64") * along(scale.astype("float64"), x, self.axis, 0)
        low, high = limits(self.dtype)
        y = numpy.rint(y) + along(zero.astype("int64"), x, self.axis, 0)
        if self.dtype in SMALL_FLOATS:
            return small_float(y.astype("float32"), self.dtype, True, "")
        return numpy.clip(y, int(low), int(high)).astype("int64").astype(numpy_dtype(self.dtype))
