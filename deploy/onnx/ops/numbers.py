"""Casts to every element type, arithmetic of integers, bits and powers, as ONNX defines them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy

from needle.errors import ShapeError
from needle.ops.shape_rules import broadcast_shape
from needle.types import Type

from ..dtypes import BITS, HALVES, SMALL_FLOATS, is_float, limits, numpy_dtype
from .base import NumpyOp


@dataclass(frozen=True)
class Sizes(NumpyOp):
    """y = whole numbers that are sizes of the inputs' axes, or expressions of them, in a shape"""

    values: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: str = "int64"

    def infer(self) -> Type:
        return Type(tuple(self.shape), self.dtype)

    def value(self) -> Any:
        return numpy.array([int(n) for n in self.values], dtype=self.dtype).reshape(self.shape)


@dataclass(frozen=True)
class CastTo(NumpyOp):
    """y = x as another element type of ONNX

    Small floats `saturate` at their largest number, or become NaN or infinite; numbers become strings as C prints them.
    """

    dtype: str
    saturate: bool = True
    up: str = ""  # how float8_e8m0fnu rounds: "up", "down" or "nearest"

    def infer(self, x: Type) -> Type:
        return Type(x.shape, self.dtype)

    def value(self, x: Any) -> Any:
        x = numpy.asarray(x)
        if self.dtype == "object":
            return numpy.array([text(v) for v in x.reshape(-1)], dtype=object).reshape(x.shape)
        if x.dtype == object:
            wide = "float64" if is_float(self.dtype) else "int64"
            read = float if wide == "float64" else lambda s: int(float(s)) if "." in s or "e" in s.lower() else int(s)
            if self.dtype == "bool":
                return numpy.array([bool(str(v)) and str(v) not in ("0", "False", "false") for v in x.reshape(-1)]
                                   ).reshape(x.shape)  # fmt: skip
            x = numpy.array([read(str(v)) for v in x.reshape(-1)], dtype=wide).reshape(x.shape)
        kind = numpy_dtype(self.dtype)
        if self.dtype in SMALL_FLOATS:
            return small_float(x, self.dtype, self.saturate, self.up)
        if self.dtype in HALVES or is_float(str(x.dtype)) or self.dtype in BITS:
            x = x.astype("float32") if str(x.dtype) in (*SMALL_FLOATS, "bfloat16") else x
        if self.dtype in ("int4", "uint4", "int2", "uint2"):  # keep the low bits, as casts of integers do
            bits = BITS[self.dtype]
            low = x.astype("int64") & ((1 << bits) - 1)
            signed = self.dtype.startswith("int") and True
            return (numpy.where(low >= 1 << (bits - 1), low - (1 << bits), low) if signed else low).astype(kind)
        if kind.kind in "iu" and x.dtype.kind == "f":
            x = numpy.trunc(x)
            if kind.itemsize < 8:
                return x.astype("int64").astype(kind)
        if str(x.dtype) in BITS and kind.kind in "iufb":
            x = x.astype("int8" if str(x.dtype).startswith("int") else "uint8") if "float" not in str(x.dtype) else x
        return x.astype(kind)


def text(value: Any) -> str:
    """A number as the standard prints it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | numpy.bool_):
        return "1" if value else "0"
    number = float(value)
    if number != number:
        return "NaN"
    if number in (float("inf"), float("-inf")):
        return "INF" if number > 0 else "-INF"
    return str(value)


def small_float(x: Any, dtype: str, saturate: bool, up: str) -> Any:
    """x as a float of 8 or 4 bits, rounded to even; what is too large as `saturate` says."""
    kind = numpy_dtype(dtype)
    wide = numpy.asarray(x).astype("float32")
    if dtype == "float8_e8m0fnu":
        return _exponent(wide, kind, saturate, up or "up")
    top = float(limits(dtype)[1])
    y = wide.astype(kind)
    if dtype == "float4_e2m1fn":
        return numpy.clip(wide, -top, top).astype(kind)
    if saturate:
        high = numpy.isposinf(wide) | (y.astype("float32") > top) | (wide > top) | _lost(wide, y, 1)
        low = numpy.isneginf(wide) | (y.astype("float32") < -top) | (wide < -top) | _lost(wide, y, -1)
        y = numpy.where(high & ~numpy.isnan(wide), kind.type(top), y)
        y = numpy.where(low & ~numpy.isnan(wide), kind.type(-top), y)
    return y.astype(kind)


def _lost(wide: Any, y: Any, sign: int) -> Any:
    """Where a number, not NaN before, is none after."""
    return (numpy.sign(wide) == sign) & ~numpy.isnan(wide) & ~numpy.isfinite(y.astype("float32"))


def _exponent(x: Any, kind: Any, saturate: bool, up: str) -> Any:
    """Powers of two: the exponent of |x|, rounded as `up` says."""
    bits = numpy.abs(x).astype("float32").view("uint32")
    exponent, rest = (bits >> 23).astype("int64"), bits & 0x7FFFFF
    if up == "up":
        exponent = exponent + (rest > 0)
    elif up == "nearest":
        exponent = exponent + ((rest > 0x400000) | ((rest == 0x400000) & (exponent % 2 == 1) | (rest >= 0x400000)))
    if saturate:
        exponent = numpy.minimum(exponent, 254)
    code = numpy.where(numpy.isnan(x), 255, numpy.where(numpy.isinf(x) & ~numpy.array(saturate), 255, exponent))
    return numpy.minimum(code, 255).astype("uint8").view(kind).reshape(x.shape)


@dataclass(frozen=True)
class _Binary(NumpyOp):
    """An elementwise op on two operands of one dtype, which is that of the result."""

    def infer(self, a: Type, b: Type) -> Type:
        return Type(broadcast_shape(type(self).__name__.lower(), a.shape, b.shape), a.dtype)


@dataclass(frozen=True)
class Subtract(_Binary):
    """y = a - b, of whole numbers in their dtype"""

    def value(self, a: Any, b: Any) -> Any:
        return numpy.subtract(a, b)


@dataclass(frozen=True)
class Divide(_Binary):
    """y = a / b of whole numbers, cut off towards zero"""

    def value(self, a: Any, b: Any) -> Any:
        if a.dtype.kind == "u":
            return numpy.floor_divide(a, b)
        y = numpy.floor_divide(a, b)
        return (y + ((y < 0) & (y * b != a))).astype(a.dtype)


@dataclass(frozen=True)
class Modulo(_Binary):
    """y = a mod b: with the sign of b or, with `c`, that of a, as C's fmod"""

    c: bool = False

    def value(self, a: Any, b: Any) -> Any:
        return numpy.fmod(a, b) if self.c else numpy.mod(a, b)


@dataclass(frozen=True)
class PowerOf(_Binary):
    """y = a^b in the dtype of a, whatever that of b is, rounded to zero"""

    def value(self, a: Any, b: Any) -> Any:
        if a.dtype.kind in "iu" and b.dtype.kind == "i" and (b < 0).any():  # which numpy has of floats alone
            with numpy.errstate(all="ignore"):  # what 1 / 0 is as a whole number is not said
                shares = numpy.power(a.astype("float64"), b).astype(a.dtype)
            return numpy.where(b < 0, shares, numpy.power(a, numpy.maximum(b, 0))).astype(a.dtype)
        return numpy.power(a, b).astype(a.dtype)


BITWISE = {"and": numpy.bitwise_and, "or": numpy.bitwise_or, "xor": numpy.bitwise_xor}


@dataclass(frozen=True)
class Bitwise(_Binary):
    """y = a and b, a or b, a xor b of their bits"""

    kind: str

    def value(self, a: Any, b: Any) -> Any:
        return BITWISE[self.kind](a, b)


@dataclass(frozen=True)
class BitwiseNot(NumpyOp):
    """y = a with its bits inverted"""

    def infer(self, a: Type) -> Type:
        return a

    def value(self, a: Any) -> Any:
        return numpy.invert(a)


@dataclass(frozen=True)
class BitShift(_Binary):
    """y = a shifted by b bits to the left or right"""

    left: bool

    def value(self, a: Any, b: Any) -> Any:
        return numpy.left_shift(a, b) if self.left else numpy.right_shift(a, b)


@dataclass(frozen=True)
class BitCast(NumpyOp):
    """y = the bits of x as another dtype of the same width"""

    dtype: str

    def infer(self, x: Type) -> Type:
        if numpy_dtype(x.dtype).itemsize != numpy_dtype(self.dtype).itemsize:
            raise ShapeError(f"[bitcast] needs a dtype as wide as {x.dtype}, got {self.dtype}")
        return Type(x.shape, self.dtype)

    def value(self, x: Any) -> Any:
        return numpy.ascontiguousarray(x).view(numpy_dtype(self.dtype)).reshape(x.shape)

