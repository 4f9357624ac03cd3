"""Elementary functions beyond arithmetic: erf, abs, sign, square root, clip, the larger and the smaller of two."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..autograd import Tensor, TensorOp
from ..backend_ndarray.kernels import kernels
from ..types import Type
from .arrays import aligned
from .ops_mathematic import exp
from .ops_shape import sum_to
from .shapes import PlainFields, elementwise, number, real, signed, with_scalar

__all__ = [
    "Abs", "Clip", "ClipGradient", "Erf", "LargerShare", "Maximum", "Minimum", "Sign", "Sqrt", "absolute", "clip",
    "erf", "maximum", "minimum", "sign", "sqrt",
]  # fmt: skip


@dataclass(frozen=True)
class Erf(TensorOp):
    """y = 2 / sqrt(pi) times the integral of e^-t^2 over [0, a]"""

    def infer(self, a: Type) -> Type:
        return real(a)

    def compute(self, a: Any) -> Any:
        return kernels(a).erf(a)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        (a,) = node.inputs
        return out_grad * exp(-(a * a)) * (2 / math.sqrt(math.pi))


@dataclass(frozen=True)
class Abs(TensorOp):
    """y = |a|"""

    def infer(self, a: Type) -> Type:
        return a

    def compute(self, a: Any) -> Any:
        return kernels(a).absolute(a)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return out_grad * Sign()(node.inputs[0])


@dataclass(frozen=True)
class Sign(TensorOp):
    """y = 1 where a > 0, -1 where a < 0, else 0"""

    def infer(self, a: Type) -> Type:
        return signed("sign", a)

    def compute(self, a: Any) -> Any:
        return kernels(a).sign(a)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return (None,)


@dataclass(frozen=True)
class Sqrt(TensorOp):
    """y = the square root of a; NaN where a < 0"""

    def infer(self, a: Type) -> Type:
        return real(a)

    def compute(self, a: Any) -> Any:
        return kernels(a).sqrt(a)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return out_grad / (node * 2)


@dataclass(frozen=True)
class Clip(PlainFields, TensorOp):
    """y = min(max(a, low), high); a bound that is None does not bind"""

    low: float | None = None
    high: float | None = None

    def infer(self, a: Type) -> Type:
        for bound in (self.low, self.high):
            a = a if bound is None else with_scalar("clip", a, bound)
        return a

    def compute(self, a: Any) -> Any:
        return kernels(a).clip(a, *_bounds(self))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return ClipGradient(self.low, self.high)(out_grad, node.inputs[0])


@dataclass(frozen=True)
class ClipGradient(PlainFields, TensorOp):
    """da = g where low <= a <= high, else 0"""

    low: float | None = None
    high: float | None = None

    def infer(self, g: Type, a: Type) -> Type:
        return elementwise("clip_gradient", g, a)

    def compute(self, g: Any, a: Any) -> Any:
        return kernels(g).clip_gradient(g, a, *_bounds(self))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return ClipGradient(self.low, self.high)(out_grad, node.inputs[1]), None


@dataclass(frozen=True)
class Maximum(TensorOp):
    """y = max(a, b), elementwise; NaN where either is"""

    promotes = True

    def infer(self, a: Type, b: Type) -> Type:
        return elementwise("maximum", a, b)

    def compute(self, a: Any, b: Any) -> Any:
        a, b = aligned(a, b)
        return kernels(a).maximum(a, b)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        a, b = node.inputs
        return _share(out_grad, a, a, b), _share(out_grad, b, b, a)


@dataclass(frozen=True)
class Minimum(TensorOp):
    """y = min(a, b), elementwise; NaN where either is"""

    promotes = True

    def infer(self, a: Type, b: Type) -> Type:
        return elementwise("minimum", a, b)

    def compute(self, a: Any, b: Any) -> Any:
        a, b = aligned(a, b)
        return kernels(a).minimum(a, b)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        a, b = node.inputs
        return _share(out_grad, a, b, a), _share(out_grad, b, a, b)


@dataclass(frozen=True)
class LargerShare(TensorOp):
    """y = 1 where a > b, 1/2 where a = b, else 0: what a gets of the adjoint of max(a, b)"""

    def infer(self, a: Type, b: Type) -> Type:
        return real(elementwise("larger_share", a, b))

    def compute(self, a: Any, b: Any) -> Any:
        a, b = aligned(a, b)
        return kernels(a).larger_share(a, b)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return None, None


def _bounds(op: Clip | ClipGradient) -> tuple[float, float]:
    """The bounds as numbers; what does not bind is infinite."""
    low = -math.inf if op.low is None else number("clip", op.low)
    return low, math.inf if op.high is None else number("clip", op.high)


def _share(out_grad: Tensor, value: Any, larger: Any, smaller: Any) -> Tensor | None:
    """The part of the adjoint that goes to `value` where `larger` > `smaller`."""
    return sum_to(out_grad * LargerShare()(larger, smaller), value) if value.requires_grad else None


def erf(x: Tensor) -> Tensor:
    """The error function of each element."""
    return Erf()(x)


def absolute(x: Tensor) -> Tensor:
    """|x|, elementwise; its gradient at 0 is 0."""
    return Abs()(x)


def sign(x: Tensor) -> Tensor:
    """1, 0 or -1, as each element is positive, zero or negative."""
    return Sign()(x)


def sqrt(x: Tensor) -> Tensor:
    """The square root of each element."""
    return Sqrt()(x)


def clip(x: Tensor, low: float | None = None, high: float | None = None) -> Tensor:
    """min(max(x, low), high), elementwise; the gradient passes where x lies within the bounds, these included."""
    return Clip(low, high)(x)


def maximum(a: Tensor, b: Tensor) -> Tensor:
    """The larger of a and b, elementwise; where they are equal each gets half of the gradient."""
    return Maximum()(a, b)


def minimum(a: Tensor, b: Tensor) -> Tensor:
    """The smaller of a and b, elementwise; where they are equal each gets half of the gradient."""
    return Minimum()(a, b)
