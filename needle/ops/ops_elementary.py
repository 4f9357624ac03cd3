"""Trigonometric and hyperbolic functions and their inverses, and rounding; elementwise, by numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy

from ..autograd import Tensor, TensorOp
from ..types import Type
from .ops_mathematic import sqrt
from .plain_op import Elementary, by_numpy

__all__ = [
    "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Cos", "Cosh", "Floor", "IsInf", "IsNaN", "Round", "Sin",
    "Sinh", "Tan", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "floor", "is_inf",
    "is_nan", "round", "sin", "sinh", "tan",
]  # fmt: skip


@dataclass(frozen=True)
class Sin(Elementary):
    """y = sin a, a in radians"""

    plain = numpy.sin

    def derivative(self, a: Tensor) -> Tensor:
        return cos(a)


@dataclass(frozen=True)
class Cos(Elementary):
    """y = cos a, a in radians"""

    plain = numpy.cos

    def derivative(self, a: Tensor) -> Tensor:
        return -sin(a)


@dataclass(frozen=True)
class Tan(Elementary):
    """y = tan a, a in radians"""

    plain = numpy.tan

    def derivative(self, a: Tensor) -> Tensor:
        return 1 + tan(a) ** 2


@dataclass(frozen=True)
class Asin(Elementary):
    """y = arcsin a in [-pi/2, pi/2]; NaN where |a| > 1"""

    plain = numpy.arcsin

    def derivative(self, a: Tensor) -> Tensor:
        return (1 - a * a) ** -0.5


@dataclass(frozen=True)
class Acos(Elementary):
    """y = arccos a in [0, pi]; NaN where |a| > 1"""

    plain = numpy.arccos

    def derivative(self, a: Tensor) -> Tensor:
        return -((1 - a * a) ** -0.5)


@dataclass(frozen=True)
class Atan(Elementary):
    """y = arctan a in (-pi/2, pi/2)"""

    plain = numpy.arctan

    def derivative(self, a: Tensor) -> Tensor:
        return 1 / (1 + a * a)


@dataclass(frozen=True)
class Sinh(Elementary):
    """y = (e^a - e^-a) / 2"""

    plain = numpy.sinh

    def derivative(self, a: Tensor) -> Tensor:
        return cosh(a)


@dataclass(frozen=True)
class Cosh(Elementary):
    """y = (e^a + e^-a) / 2"""

    plain = numpy.cosh

    def derivative(self, a: Tensor) -> Tensor:
        return sinh(a)


@dataclass(frozen=True)
class Asinh(Elementary):
    """y = log(a + sqrt(a^2 + 1))"""

    plain = numpy.arcsinh

    def derivative(self, a: Tensor) -> Tensor:
        return 1 / sqrt(a * a + 1)


@dataclass(frozen=True)
class Acosh(Elementary):
    """y = log(a + sqrt(a^2 - 1)); NaN where a < 1"""

    plain = numpy.arccosh

    def derivative(self, a: Tensor) -> Tensor:
        return 1 / sqrt(a * a - 1)


@dataclass(frozen=True)
class Atanh(Elementary):
    """y = log((1 + a) / (1 - a)) / 2; NaN where |a| > 1"""

    plain = numpy.arctanh

    def derivative(self, a: Tensor) -> Tensor:
        return 1 / (1 - a * a)


@dataclass(frozen=True)
class Floor(Elementary):
    """y = the largest whole number that is not above a; its gradient is 0"""

    plain, rounds = numpy.floor, True


@dataclass(frozen=True)
class Ceil(Elementary):
    """y = the smallest whole number that is not below a; its gradient is 0"""

    plain, rounds = numpy.ceil, True


@dataclass(frozen=True)
class Round(Elementary):
    """y = the nearest whole number, of two the even one; its gradient is 0"""

    plain, rounds = numpy.rint, True


@dataclass(frozen=True)
class IsNaN(TensorOp):
    """y = whether a is no number: true or false"""

    def infer(self, a: Type) -> Type:
        return Type(a.shape, "bool")

    def compute(self, a: Any) -> Any:
        return by_numpy(numpy.isnan, a)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return (None,)


@dataclass(frozen=True)
class IsInf(TensorOp):
    """y = whether a is infinite, of a sign that counts: true or false"""

    positive: bool = True
    negative: bool = True

    def infer(self, a: Type) -> Type:
        return Type(a.shape, "bool")

    def compute(self, a: Any) -> Any:
        def infinite(a: Any) -> Any:
            return (numpy.isposinf(a) & self.positive) | (numpy.isneginf(a) & self.negative)

        return by_numpy(infinite, a)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return (None,)


def sin(x: Tensor) -> Tensor:
    """The sine of each element."""
    return Sin()(x)


def cos(x: Tensor) -> Tensor:
    """The cosine of each element."""
    return Cos()(x)


def tan(x: Tensor) -> Tensor:
    """The tangent of each element."""
    return Tan()(x)


def asin(x: Tensor) -> Tensor:
    """The arc sine of each element; NaN outside -1..1."""
    return Asin()(x)


def acos(x: Tensor) -> Tensor:
    """The arc cosine of each element; NaN outside -1..1."""
    return Acos()(x)


def atan(x: Tensor) -> Tensor:
    """The arc tangent of each element."""
    return Atan()(x)


def sinh(x: Tensor) -> Tensor:
    """The hyperbolic sine of each element."""
    return Sinh()(x)


def cosh(x: Tensor) -> Tensor:
    """The hyperbolic cosine of each element."""
    return Cosh()(x)


def asinh(x: Tensor) -> Tensor:
    """The inverse of `sinh`, elementwise."""
    return Asinh()(x)


def acosh(x: Tensor) -> Tensor:
    """The inverse of `cosh`, elementwise; NaN below 1."""
    return Acosh()(x)


def atanh(x: Tensor) -> Tensor:
    """The inverse of `tanh`, elementwise; NaN outside -1..1."""
    return Atanh()(x)


def floor(x: Tensor) -> Tensor:
    """Each element rounded down, without gradient."""
    return Floor()(x)


def ceil(x: Tensor) -> Tensor:
    """Each element rounded up, without gradient."""
    return Ceil()(x)


def round(x: Tensor) -> Tensor:
    """Each element rounded to the nearest whole number, of two the even one, without gradient."""
    return Round()(x)


def is_nan(x: Tensor) -> Tensor:
    """Whether each element is no number."""
    return IsNaN()(x)


def is_inf(x: Tensor, positive: bool = True, negative: bool = True) -> Tensor:
    """Whether each element is infinite, of a sign that counts."""
    return IsInf(positive, negative)(x)
