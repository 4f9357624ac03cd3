"""Activation functions: pointwise, one operand; `needle.nn` has them as modules."""

from __future__ import annotations

import math
from typing import Any

import numpy

from ..autograd import Tensor
from ..backend_ndarray.plain.pointwise import erf as plain_erf
from ..backend_ndarray.plain.pointwise import floats
from ..backend_ndarray.plain.pointwise import sigmoid as plain_sigmoid
from .dtype_rules import floating
from .op_function import function
from .ops_compare import where
from .ops_mathematic import erf, exp
from .pointwise import Pointwise

__all__ = [
    "GELU", "LeakyReLU", "ReLU", "SiLU", "Sigmoid", "Softplus", "Tanh", "gelu", "leaky_relu", "relu", "sigmoid", "silu",
    "softplus", "tanh",
]  # fmt: skip

GATE, CUBIC = 2 * math.sqrt(2 / math.pi), 0.044715  # of GELU's approximation


class ReLU(Pointwise, name="relu"):
    """y = max(a, 0)"""

    def plain(self, a: Any) -> Any:
        return numpy.maximum(a, a.dtype.type(0))

    def pullback(self, g: Tensor, a: Tensor) -> Tensor:
        return where(a > 0, g, 0.0)


class Tanh(Pointwise, name="tanh", result=floating, of_result=True):
    """y = tanh a"""

    def plain(self, a: Any) -> Any:
        return numpy.tanh(floats(a))

    def derivative(self, y: Tensor) -> Tensor:
        return 1 - y * y


class Sigmoid(Pointwise, name="sigmoid", result=floating, of_result=True):
    """y = 1 / (1 + e^-a)"""

    def plain(self, a: Any) -> Any:
        return plain_sigmoid(a)

    def derivative(self, y: Tensor) -> Tensor:
        return y * (1 - y)


class SiLU(Pointwise, name="silu", result=floating):
    """y = a sigmoid(a), also known as swish"""

    def plain(self, a: Any) -> Any:
        return floats(a) * plain_sigmoid(a)

    def derivative(self, a: Tensor) -> Tensor:
        s = sigmoid(a)
        return s * (a * (1 - s) + 1)


class Softplus(Pointwise, name="softplus", result=floating):
    """y = log(1 + e^a), without overflow for large a or loss of small results"""

    def plain(self, a: Any) -> Any:
        a = floats(a)
        return numpy.maximum(a, a.dtype.type(0)) + numpy.log1p(numpy.exp(-numpy.abs(a)))

    def derivative(self, a: Tensor) -> Tensor:
        return sigmoid(a)


class LeakyReLU(Pointwise, name="leaky_relu"):
    """y = a where a > 0, else slope a"""

    slope: float = 0.01

    def plain(self, a: Any, slope: float) -> Any:
        return numpy.where(a > 0, a, a * slope)

    def pullback(self, g: Tensor, a: Tensor) -> Tensor:
        return where(a > 0, g, g * self.slope)


class GELU(Pointwise, name="gelu", result=floating):
    """y = a P(a), P(a) = (1 + erf(a / sqrt 2)) / 2: a times the share of a normal distribution that lies below it

    With `approximate`, y = a (1 + tanh(sqrt(2 / pi) (a + 0.044715 a^3))) / 2. Source: Hendrycks, Gimpel 2016.
    """

    approximate: bool = False

    @property
    def numbers(self) -> tuple[float, ...]:
        return ()

    @property
    def kernel(self) -> str:
        return "gelu_tanh" if self.approximate else "gelu"

    def plain(self, a: Any) -> Any:
        a = floats(a)
        if self.approximate:
            return a * plain_sigmoid(a * (GATE + CUBIC * GATE * (a * a)))
        return a * ((1 + plain_erf(a * math.sqrt(0.5))) * 0.5)

    def derivative(self, a: Tensor) -> Tensor:
        if self.approximate:
            s = sigmoid(a * GATE + a * a * a * (CUBIC * GATE))
            return s + a * (a * a * (3 * CUBIC * GATE) + GATE) * s * (1 - s)
        density = exp(a * a * -0.5) / math.sqrt(2 * math.pi)
        return erf(a / math.sqrt(2)) * 0.5 + 0.5 + a * density


relu = function(ReLU, "max(a, 0), elementwise; its gradient at 0 is 0.")
tanh = function(Tanh, "The hyperbolic tangent of each element.")
sigmoid = function(Sigmoid)
silu = function(SiLU, operands="x")
softplus = function(Softplus, "log(1 + e^x), elementwise.", operands="x")
leaky_relu = function(LeakyReLU, "x where x > 0, else slope x; its gradient at 0 is the slope.", operands="x")
gelu = function(
    GELU, "x P(x), P the normal distribution function; `approximate` takes tanh in its place, as GPT-2 did.", "x"
)
