"""Comparisons, logic on their results, and the choice between two tensors by such a mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..autograd import Tensor, TensorOp
from ..backend_ndarray.kernels import kernels
from ..errors import DTypeError
from ..types import Type
from . import arrays
from .operands import like
from .ops_cast import promoted as cast_together
from .ops_shape import sum_to
from .shapes import broadcast_shape, elementwise, promoted

__all__ = [
    "Equal", "Greater", "GreaterEqual", "Less", "LessEqual", "LogicalAnd", "LogicalNot", "LogicalOr", "NotEqual",
    "Where", "equal", "greater", "greater_equal", "less", "less_equal", "logical_and", "logical_not", "logical_or",
    "not_equal", "where",
]  # fmt: skip


@dataclass(frozen=True)
class Equal(TensorOp):
    """y = [a = b], elementwise: true or false"""

    def infer(self, a: Type, b: Type) -> Type:
        return _truth(elementwise("equal", a, b))

    def compute(self, a: Any, b: Any) -> Any:
        a, b = arrays.aligned(a, b)
        return arrays.truth(kernels(a).equal(a, b))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return None, None


@dataclass(frozen=True)
class NotEqual(TensorOp):
    """y = [a is not b], elementwise: true or false"""

    def infer(self, a: Type, b: Type) -> Type:
        return _truth(elementwise("not_equal", a, b))

    def compute(self, a: Any, b: Any) -> Any:
        a, b = arrays.aligned(a, b)
        return arrays.truth(kernels(a).not_equal(a, b))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return None, None


@dataclass(frozen=True)
class Less(TensorOp):
    """y = [a < b], elementwise: true or false"""

    def infer(self, a: Type, b: Type) -> Type:
        return _truth(elementwise("less", a, b))

    def compute(self, a: Any, b: Any) -> Any:
        a, b = arrays.aligned(a, b)
        return arrays.truth(kernels(a).less(a, b))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return None, None


@dataclass(frozen=True)
class LessEqual(TensorOp):
    """y = [a <= b], elementwise: true or false"""

    def infer(self, a: Type, b: Type) -> Type:
        return _truth(elementwise("less_equal", a, b))

    def compute(self, a: Any, b: Any) -> Any:
        a, b = arrays.aligned(a, b)
        return arrays.truth(kernels(a).less_equal(a, b))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return None, None


@dataclass(frozen=True)
class Greater(TensorOp):
    """y = [a > b], elementwise: true or false"""

    def infer(self, a: Type, b: Type) -> Type:
        return _truth(elementwise("greater", a, b))

    def compute(self, a: Any, b: Any) -> Any:
        a, b = arrays.aligned(a, b)
        return arrays.truth(kernels(a).greater(a, b))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return None, None


@dataclass(frozen=True)
class GreaterEqual(TensorOp):
    """y = [a >= b], elementwise: true or false"""

    def infer(self, a: Type, b: Type) -> Type:
        return _truth(elementwise("greater_equal", a, b))

    def compute(self, a: Any, b: Any) -> Any:
        a, b = arrays.aligned(a, b)
        return arrays.truth(kernels(a).greater_equal(a, b))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return None, None


@dataclass(frozen=True)
class LogicalAnd(TensorOp):
    """y = [a and b, each being true where it is not 0], elementwise: true or false"""

    def infer(self, a: Type, b: Type) -> Type:
        return _truth(elementwise("logical_and", a, b))

    def compute(self, a: Any, b: Any) -> Any:
        a, b = arrays.aligned(a, b)
        return arrays.truth(kernels(a).logical_and(a, b))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return None, None


@dataclass(frozen=True)
class LogicalOr(TensorOp):
    """y = [a or b, each being true where it is not 0], elementwise: true or false"""

    def infer(self, a: Type, b: Type) -> Type:
        return _truth(elementwise("logical_or", a, b))

    def compute(self, a: Any, b: Any) -> Any:
        a, b = arrays.aligned(a, b)
        return arrays.truth(kernels(a).logical_or(a, b))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return None, None


@dataclass(frozen=True)
class LogicalNot(TensorOp):
    """y = [a = 0], elementwise: true or false"""

    def infer(self, a: Type) -> Type:
        return _truth(a)

    def compute(self, a: Any) -> Any:
        return arrays.truth(kernels(a).logical_not(a))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return (None,)


@dataclass(frozen=True)
class Where(TensorOp):
    """y = a where the mask is true (not 0), else b; all three broadcast"""

    def infer(self, mask: Type, a: Type, b: Type) -> Type:
        shape = broadcast_shape("where", broadcast_shape("where", mask.shape, a.shape), b.shape)
        return Type(shape, promoted(a.dtype, b.dtype))

    def compute(self, mask: Any, a: Any, b: Any) -> Any:
        a, b = arrays.aligned(a, b)
        mask, a = arrays.aligned(arrays.as_mask(mask, a), a)
        a, b = arrays.aligned(a, b)
        return kernels(a).where(mask, a, b)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        mask, a, b = node.inputs
        zero = like("where", out_grad, 0.0)
        da = sum_to(where(mask, out_grad, zero), a) if a.requires_grad else None
        return None, da, sum_to(where(mask, zero, out_grad), b) if b.requires_grad else None


def _truth(x: Type) -> Type:
    return Type(x.shape, "bool")


def _both(a: Any, b: Any) -> tuple[Tensor, Tensor]:
    """The operands, of which one may be a number. DTypeError if neither is a Tensor."""
    if not isinstance(a, Tensor) and not isinstance(b, Tensor):
        raise DTypeError(f"[compare] one of the two must be a Tensor, got {type(a).__name__} and {type(b).__name__}")
    return (a, like("compare", a, b)) if isinstance(a, Tensor) else (like("compare", b, a), b)


def equal(a: Any, b: Any) -> Tensor:
    """[a = b], elementwise; one of the two may be a number or a numpy array."""
    return Equal()(*_both(a, b))


def not_equal(a: Any, b: Any) -> Tensor:
    """[a is not b]; true where either is NaN, elementwise; one of the two may be a number or a numpy array."""
    return NotEqual()(*_both(a, b))


def less(a: Any, b: Any) -> Tensor:
    """[a < b], elementwise; one of the two may be a number or a numpy array."""
    return Less()(*_both(a, b))


def less_equal(a: Any, b: Any) -> Tensor:
    """[a <= b], elementwise; one of the two may be a number or a numpy array."""
    return LessEqual()(*_both(a, b))


def greater(a: Any, b: Any) -> Tensor:
    """[a > b], elementwise; one of the two may be a number or a numpy array."""
    return Greater()(*_both(a, b))


def greater_equal(a: Any, b: Any) -> Tensor:
    """[a >= b], elementwise; one of the two may be a number or a numpy array."""
    return GreaterEqual()(*_both(a, b))


def logical_and(a: Any, b: Any) -> Tensor:
    """[a and b], elementwise; one of the two may be a number or a numpy array."""
    return LogicalAnd()(*_both(a, b))


def logical_or(a: Any, b: Any) -> Tensor:
    """[a or b], elementwise; one of the two may be a number or a numpy array."""
    return LogicalOr()(*_both(a, b))


def logical_not(x: Tensor) -> Tensor:
    """[x = 0], elementwise: what was false is true."""
    return LogicalNot()(x)


def where(mask: Tensor, a: Any, b: Any) -> Tensor:
    """a where the mask is true, else b; a or b may be a number or a numpy array. What is not chosen gets no gradient.

    Raises DTypeError for a mask that is no Tensor.
    """
    if not isinstance(mask, Tensor):
        raise DTypeError(f"[where] needs a Tensor as mask, got {type(mask).__name__}")
    if not isinstance(a, Tensor) and not isinstance(b, Tensor):
        a = Tensor(a, device=mask.device, requires_grad=False)
    return Where()(mask, *cast_together(_both(a, b)))
