"""Arithmetic and elementary functions, elementwise. Two operands broadcast as numpy has it."""

from __future__ import annotations

import math
from typing import Any

import numpy

from ..autograd import Tensor
from ..backend_ndarray.plain import pointwise as plain
from ..backend_ndarray.plain.pointwise import floats
from ..types import Type
from .dtype_rules import floating, with_scalar, with_sign
from .op_function import function
from .ops_broadcast import sum_to
from .ops_compare import where
from .pointwise import Pointwise

__all__ = [
    "Abs", "AddScalar", "Clip", "DivScalar", "EWiseAdd", "EWiseDiv", "EWiseMul", "Erf", "Exp", "LargerShare", "Log",
    "Maximum", "Minimum", "MulScalar", "Negate", "Sign", "Sqrt", "absolute", "add", "add_scalar", "clip", "divide",
    "divide_scalar", "erf", "exp", "log", "maximum", "minimum", "mul_scalar", "multiply", "negate", "sign", "sqrt",
]  # fmt: skip


class EWiseAdd(Pointwise, name="add", operands=2, promotes=True):
    """y = a + b"""

    plain = numpy.add

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        a, b = node.inputs
        return sum_to(out_grad, a), sum_to(out_grad, b)


class AddScalar(Pointwise, name="add_scalar"):
    """y = a + scalar"""

    scalar: float
    plain = numpy.add

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return out_grad


class EWiseMul(Pointwise, name="multiply", operands=2, promotes=True):
    """y = a b, elementwise"""

    plain = numpy.multiply

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        a, b = node.inputs
        da = sum_to(out_grad * b, a) if a.requires_grad else None
        return da, sum_to(out_grad * a, b) if b.requires_grad else None


class MulScalar(Pointwise, name="mul_scalar"):
    """y = scalar a"""

    scalar: float
    plain = numpy.multiply

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return mul_scalar(out_grad, self.scalar)


class EWiseDiv(Pointwise, name="divide", operands=2, result=floating, promotes=True):
    """y = a / b, elementwise"""

    plain = numpy.divide

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        a, b = node.inputs
        da = out_grad / b
        return sum_to(da, a), sum_to(negate(da * node), b) if b.requires_grad else None


class DivScalar(Pointwise, name="divide_scalar", result=floating):
    """y = a / scalar"""

    scalar: float
    plain = numpy.divide

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return divide_scalar(out_grad, self.scalar)


class Negate(Pointwise, name="negate", result=with_sign):
    """y = -a"""

    plain = numpy.negative

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return negate(out_grad)


class Log(Pointwise, name="log", result=floating):
    """y = log a, the natural logarithm"""

    def plain(self, a: Any) -> Any:
        return numpy.log(floats(a))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return out_grad / node.inputs[0]


class Exp(Pointwise, name="exp", result=floating):
    """y = e^a"""

    def plain(self, a: Any) -> Any:
        return numpy.exp(floats(a))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return out_grad * node


class Sqrt(Pointwise, name="sqrt", result=floating):
    """y = the square root of a; NaN where a < 0"""

    def plain(self, a: Any) -> Any:
        with numpy.errstate(invalid="ignore"):
            return numpy.sqrt(floats(a))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return out_grad / (node * 2)


class Erf(Pointwise, name="erf", result=floating):
    """y = 2 / sqrt(pi) times the integral of e^-t^2 over [0, a]"""

    def plain(self, a: Any) -> Any:
        return plain.erf(a)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        (a,) = node.inputs
        return out_grad * exp(-(a * a)) * (2 / math.sqrt(math.pi))


class Abs(Pointwise, name="absolute"):
    """y = |a|"""

    plain = numpy.abs

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return out_grad * Sign()(node.inputs[0])


class Sign(Pointwise, name="sign", result=with_sign):
    """y = 1 where a > 0, -1 where a < 0, else 0"""

    plain = numpy.sign

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return (None,)


class Clip(Pointwise, name="clip"):
    """y = min(max(a, low), high); a bound that is None does not bind"""

    low: float | None = None
    high: float | None = None

    @property
    def numbers(self) -> tuple[float, ...]:
        return -math.inf if self.low is None else self.low, math.inf if self.high is None else self.high

    def infer(self, a: Type) -> Type:
        for bound in (self.low, self.high):
            a = a if bound is None else with_scalar("clip", a, bound)
        return a

    def plain(self, a: Any, low: float, high: float) -> Any:
        y = a if low == -math.inf else numpy.maximum(a, low)
        return y if high == math.inf else numpy.minimum(y, high)

    def pullback(self, g: Tensor, a: Tensor) -> Tensor:
        low, high = self.numbers
        return where(a >= low, where(a <= high, g, 0.0), 0.0)


class Maximum(Pointwise, name="maximum", operands=2, promotes=True):
    """y = max(a, b), elementwise; NaN where either is"""

    plain = numpy.maximum

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        a, b = node.inputs
        return _share(out_grad, a, a, b), _share(out_grad, b, b, a)


class Minimum(Pointwise, name="minimum", operands=2, promotes=True):
    """y = min(a, b), elementwise; NaN where either is"""

    plain = numpy.minimum

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        a, b = node.inputs
        return _share(out_grad, a, b, a), _share(out_grad, b, a, b)


class LargerShare(Pointwise, name="larger_share", operands=2, result=floating):
    """y = 1 where a > b, 1/2 where a = b, else 0: what a gets of the adjoint of max(a, b)"""

    def plain(self, a: Any, b: Any) -> Any:
        kind = floats(numpy.zeros(0, numpy.result_type(a, b))).dtype
        return (a >= b).astype(kind) - (a == b) * kind.type(0.5)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return None, None


def _share(out_grad: Tensor, value: Any, larger: Any, smaller: Any) -> Tensor | None:
    """The part of the adjoint that goes to `value` where `larger` > `smaller`."""
    return sum_to(out_grad * LargerShare()(larger, smaller), value) if value.requires_grad else None


add = function(EWiseAdd, "a + b, elementwise.")
add_scalar = function(AddScalar, "a + scalar.")
multiply = function(EWiseMul, "a b, elementwise.")
mul_scalar = function(MulScalar, "scalar a.")
divide = function(EWiseDiv, "a / b, elementwise.")
divide_scalar = function(DivScalar, "a / scalar.")
negate = function(Negate, "-a.")
log = function(Log, "The natural logarithm of each element.")
exp = function(Exp, "e^a, elementwise.")
sqrt = function(Sqrt, "The square root of each element.", "x")
erf = function(Erf, "The error function of each element.", "x")
absolute = function(Abs, "|x|, elementwise; its gradient at 0 is 0.", "x")
sign = function(Sign, "1, 0 or -1, as each element is positive, zero or negative.", "x")
clip = function(Clip, "min(max(x, low), high), elementwise; the gradient passes where low <= x <= high.", "x")
maximum = function(Maximum, "The larger of a and b, elementwise; where equal, each gets half of the gradient.")
minimum = function(Minimum, "The smaller of a and b, elementwise; where equal, each gets half of the gradient.")
