"""Elementwise arithmetic. Two operands of one shape are the norm; numpy's broadcasting is accepted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..autograd import Tensor, TensorOp
from ..backend_ndarray.kernels import kernels
from ..types import Type
from .arrays import aligned, by_number
from .ops_shape import sum_to
from .shapes import PlainFields, elementwise, real, signed, with_scalar

__all__ = [
    "AddScalar", "DivScalar", "EWiseAdd", "EWiseDiv", "EWiseMul", "Exp", "Log", "MulScalar", "Negate", "add",
    "add_scalar", "divide", "divide_scalar", "exp", "log", "mul_scalar", "multiply", "negate",
]  # fmt: skip


@dataclass(frozen=True)
class EWiseAdd(TensorOp):
    """y = a + b"""

    promotes = True

    def infer(self, a: Type, b: Type) -> Type:
        return elementwise("add", a, b)

    def compute(self, a: Any, b: Any) -> Any:
        a, b = aligned(a, b)
        return kernels(a).add(a, b)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        a, b = node.inputs
        return sum_to(out_grad, a), sum_to(out_grad, b)


@dataclass(frozen=True)
class AddScalar(PlainFields, TensorOp):
    """y = a + scalar"""

    scalar: float

    def infer(self, a: Type) -> Type:
        return with_scalar("add_scalar", a, self.scalar)

    def compute(self, a: Any) -> Any:
        return by_number("add_scalar", a, self.scalar)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return out_grad


@dataclass(frozen=True)
class EWiseMul(TensorOp):
    """y = a b, elementwise"""

    promotes = True

    def infer(self, a: Type, b: Type) -> Type:
        return elementwise("multiply", a, b)

    def compute(self, a: Any, b: Any) -> Any:
        a, b = aligned(a, b)
        return kernels(a).multiply(a, b)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        a, b = node.inputs
        da = sum_to(out_grad * b, a) if a.requires_grad else None
        return da, sum_to(out_grad * a, b) if b.requires_grad else None


@dataclass(frozen=True)
class MulScalar(PlainFields, TensorOp):
    """y = scalar a"""

    scalar: float

    def infer(self, a: Type) -> Type:
        return with_scalar("mul_scalar", a, self.scalar)

    def compute(self, a: Any) -> Any:
        return by_number("multiply_scalar", a, self.scalar)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return mul_scalar(out_grad, self.scalar)


@dataclass(frozen=True)
class EWiseDiv(TensorOp):
    """y = a / b, elementwise"""

    promotes = True

    def infer(self, a: Type, b: Type) -> Type:
        return real(elementwise("divide", a, b))

    def compute(self, a: Any, b: Any) -> Any:
        a, b = aligned(a, b)
        return kernels(a).divide(a, b)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        a, b = node.inputs
        da = out_grad / b
        return sum_to(da, a), sum_to(negate(da * node), b) if b.requires_grad else None


@dataclass(frozen=True)
class DivScalar(PlainFields, TensorOp):
    """y = a / scalar"""

    scalar: float

    def infer(self, a: Type) -> Type:
        return real(with_scalar("divide_scalar", a, self.scalar))

    def compute(self, a: Any) -> Any:
        return by_number("divide_scalar", a, self.scalar)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return divide_scalar(out_grad, self.scalar)


@dataclass(frozen=True)
class Negate(TensorOp):
    """y = -a"""

    def infer(self, a: Type) -> Type:
        return signed("negate", a)

    def compute(self, a: Any) -> Any:
        return kernels(a).negate(a)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return negate(out_grad)


@dataclass(frozen=True)
class Log(TensorOp):
    """y = log a, the natural logarithm"""

    def infer(self, a: Type) -> Type:
        return real(a)

    def compute(self, a: Any) -> Any:
        return kernels(a).log(a)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return out_grad / node.inputs[0]


@dataclass(frozen=True)
class Exp(TensorOp):
    """y = e^a"""

    def infer(self, a: Type) -> Type:
        return real(a)

    def compute(self, a: Any) -> Any:
        return kernels(a).exp(a)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return out_grad * node


def add(a: Tensor, b: Tensor) -> Tensor:
    """a + b, elementwise."""
    return EWiseAdd()(a, b)


def add_scalar(a: Tensor, scalar: float) -> Tensor:
    """a + scalar."""
    return AddScalar(scalar)(a)


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """a b, elementwise."""
    return EWiseMul()(a, b)


def mul_scalar(a: Tensor, scalar: float) -> Tensor:
    """scalar a."""
    return MulScalar(scalar)(a)


def divide(a: Tensor, b: Tensor) -> Tensor:
    """a / b, elementwise."""
    return EWiseDiv()(a, b)


def divide_scalar(a: Tensor, scalar: float) -> Tensor:
    """a / scalar."""
    return DivScalar(scalar)(a)


def negate(a: Tensor) -> Tensor:
    """-a."""
    return Negate()(a)


def log(a: Tensor) -> Tensor:
    """The natural logarithm of each element."""
    return Log()(a)


def exp(a: Tensor) -> Tensor:
    """e^a, elementwise."""
    return Exp()(a)
