"""Activation functions: elementwise, one operand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..autograd import Tensor, TensorOp
from ..backend_ndarray.kernels import kernels
from ..types import Type
from .composite import gradient_of
from .shapes import elementwise, real

__all__ = ["ReLU", "ReLUGradient", "Sigmoid", "SigmoidGradient", "Tanh", "TanhGradient", "relu", "sigmoid", "tanh"]


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


def relu(a: Tensor) -> Tensor:
    """max(a, 0), elementwise; its gradient at 0 is 0."""
    return ReLU()(a)


def tanh(a: Tensor) -> Tensor:
    """The hyperbolic tangent of each element."""
    return Tanh()(a)


def sigmoid(a: Tensor) -> Tensor:
    """1 / (1 + e^-a), elementwise."""
    return Sigmoid()(a)
