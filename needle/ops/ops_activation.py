"""Activation functions: elementwise, one operand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..autograd import Tensor, TensorOp
from ..backend_ndarray.kernels import kernels
from ..types import Type
from .composite import gradient_of
from .ops_elementary import erf
from .ops_mathematic import exp
from .shapes import PlainFields, elementwise, number, real, with_scalar

__all__ = [
    "GELU", "GELUGradient", "LeakyReLU", "LeakyReLUGradient", "ReLU", "ReLUGradient", "SiLU", "SiLUGradient", "Sigmoid",
    "SigmoidGradient", "Softplus", "SoftplusGradient", "Tanh", "TanhGradient", "gelu", "leaky_relu", "relu", "sigmoid",
    "silu", "softplus", "tanh",
]  # fmt: skip


@dataclass(frozen=True)
class ReLU(TensorOp):
    """y = max(a, 0)"""

    def infer(self, a: Type) -> Type:
        return a

    def compute(self, a: Any) -> Any:
        return kernels(a).relu(a)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return ReLUGradient()(out_grad, node.inputs[0])


@dataclass(frozen=True)
class ReLUGradient(TensorOp):
    """da = g where a > 0, else 0"""

    def infer(self, g: Type, a: Type) -> Type:
        return elementwise("relu_gradient", g, a)

    def compute(self, g: Any, a: Any) -> Any:
        return kernels(a).relu_gradient(g, a)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return ReLUGradient()(out_grad, node.inputs[1]), None


@dataclass(frozen=True)
class Tanh(TensorOp):
    """y = tanh a"""

    def infer(self, a: Type) -> Type:
        return real(a)

    def compute(self, a: Any) -> Any:
        return kernels(a).tanh(a)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return TanhGradient()(out_grad, node)


@dataclass(frozen=True)
class TanhGradient(TensorOp):
    """dx = g (1 - y^2), y being tanh x"""

    def infer(self, g: Type, y: Type) -> Type:
        return elementwise("tanh_gradient", g, y)

    def compute(self, g: Any, y: Any) -> Any:
        return kernels(g).tanh_gradient(g, y)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return gradient_of(lambda g, y: g * (1 - y * y), out_grad, node)


@dataclass(frozen=True)
class Sigmoid(TensorOp):
    """y = 1 / (1 + e^-a)"""

    def infer(self, a: Type) -> Type:
        return real(a)

    def compute(self, a: Any) -> Any:
        return kernels(a).sigmoid(a)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return SigmoidGradient()(out_grad, node)


@dataclass(frozen=True)
class SigmoidGradient(TensorOp):
    """dx = g y (1 - y), y being the sigmoid of x"""

    def infer(self, g: Type, y: Type) -> Type:
        return elementwise("sigmoid_gradient", g, y)

    def compute(self, g: Any, y: Any) -> Any:
        return kernels(g).sigmoid_gradient(g, y)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return gradient_of(lambda g, y: g * (y * (1 - y)), out_grad, node)


@dataclass(frozen=True)
class GELU(TensorOp):
    """y = a P(a), P(a) = (1 + erf(a / sqrt 2)) / 2: a times the share of a normal distribution that lies below it

    With `approximate`, y = a (1 + tanh(sqrt(2 / pi) (a + 0.044715 a^3))) / 2. Source: Hendrycks, Gimpel 2016.
    """

    approximate: bool = False

    def infer(self, a: Type) -> Type:
        return real(a)

    def compute(self, a: Any) -> Any:
        return kernels(a).gelu(a, self.approximate)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return GELUGradient(self.approximate)(out_grad, node.inputs[0])


@dataclass(frozen=True)
class GELUGradient(TensorOp):
    """da = g (P(a) + a p(a)), p being the density of the normal distribution; or the slope of the approximation"""

    approximate: bool = False

    def infer(self, g: Type, a: Type) -> Type:
        return elementwise("gelu_gradient", g, a)

    def compute(self, g: Any, a: Any) -> Any:
        return kernels(a).gelu_gradient(g, a, self.approximate)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return gradient_of(self._formula, out_grad, node)

    def _formula(self, g: Tensor, a: Tensor) -> Tensor:
        if self.approximate:
            c = 2 * math.sqrt(2 / math.pi)
            s = sigmoid(a * c + a * a * a * (0.044715 * c))
            return g * (s + a * (a * a * (3 * 0.044715 * c) + c) * s * (1 - s))
        density = exp(a * a * -0.5) / math.sqrt(2 * math.pi)
        return g * (erf(a / math.sqrt(2)) * 0.5 + 0.5 + a * density)


@dataclass(frozen=True)
class SiLU(TensorOp):
    """y = a sigmoid(a), also known as swish"""

    def infer(self, a: Type) -> Type:
        return real(a)

    def compute(self, a: Any) -> Any:
        return kernels(a).silu(a)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return SiLUGradient()(out_grad, node.inputs[0])


@dataclass(frozen=True)
class SiLUGradient(TensorOp):
    """da = g s (1 + a (1 - s)), s = sigmoid(a)"""

    def infer(self, g: Type, a: Type) -> Type:
        return elementwise("silu_gradient", g, a)

    def compute(self, g: Any, a: Any) -> Any:
        return kernels(a).silu_gradient(g, a)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        def formula(g: Tensor, a: Tensor) -> Tensor:
            s = sigmoid(a)
            return g * s * (a * (1 - s) + 1)

        return gradient_of(formula, out_grad, node)


@dataclass(frozen=True)
class Softplus(TensorOp):
    """y = log(1 + e^a), without overflow for large a or loss of small results"""

    def infer(self, a: Type) -> Type:
        return real(a)

    def compute(self, a: Any) -> Any:
        return kernels(a).softplus(a)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return SoftplusGradient()(out_grad, node.inputs[0])


@dataclass(frozen=True)
class SoftplusGradient(TensorOp):
    """da = g sigmoid(a)"""

    def infer(self, g: Type, a: Type) -> Type:
        return elementwise("softplus_gradient", g, a)

    def compute(self, g: Any, a: Any) -> Any:
        return kernels(a).softplus_gradient(g, a)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return gradient_of(lambda g, a: g * sigmoid(a), out_grad, node)


@dataclass(frozen=True)
class LeakyReLU(PlainFields, TensorOp):
    """y = a where a > 0, else slope a"""

    slope: float = 0.01

    def infer(self, a: Type) -> Type:
        return with_scalar("leaky_relu", a, self.slope)

    def compute(self, a: Any) -> Any:
        return kernels(a).leaky_relu(a, number("leaky_relu", self.slope))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return LeakyReLUGradient(self.slope)(out_grad, node.inputs[0])


@dataclass(frozen=True)
class LeakyReLUGradient(PlainFields, TensorOp):
    """da = g where a > 0, else slope g"""

    slope: float = 0.01

    def infer(self, g: Type, a: Type) -> Type:
        return elementwise("leaky_relu_gradient", g, a)

    def compute(self, g: Any, a: Any) -> Any:
        return kernels(a).leaky_relu_gradient(g, a, number("leaky_relu", self.slope))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return LeakyReLUGradient(self.slope)(out_grad, node.inputs[1]), None


def relu(a: Tensor) -> Tensor:
    """max(a, 0), elementwise; its gradient at 0 is 0."""
    return ReLU()(a)


def tanh(a: Tensor) -> Tensor:
    """The hyperbolic tangent of each element."""
    return Tanh()(a)


def sigmoid(a: Tensor) -> Tensor:
    """1 / (1 + e^-a), elementwise."""
    return Sigmoid()(a)


def gelu(x: Tensor, approximate: bool = False) -> Tensor:
    """x P(x), P the normal distribution function; `approximate` takes tanh in its place, as GPT-2 did."""
    return GELU(approximate)(x)


def silu(x: Tensor) -> Tensor:
    """x sigmoid(x), elementwise."""
    return SiLU()(x)


def softplus(x: Tensor) -> Tensor:
    """log(1 + e^x), elementwise."""
    return Softplus()(x)


def leaky_relu(x: Tensor, slope: float = 0.01) -> Tensor:
    """x where x > 0, else slope x; its gradient at 0 is the slope."""
    return LeakyReLU(slope)(x)
