"""Powers, elementwise, with the gradients that they tend to where a formula would say 0 times infinity."""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor
from ..backend_ndarray.plain import pointwise as plain
from .op_function import function
from .ops_broadcast import sum_to
from .ops_compare import equal, greater_equal, logical_and, logical_not, where
from .ops_mathematic import absolute, add_scalar, log, mul_scalar
from .pointwise import Pointwise

__all__ = ["EWisePow", "PowerScalar", "power", "power_scalar"]


class EWisePow(Pointwise, name="power", operands=2, promotes=True):
    """y = a^b, elementwise; the gradient of b is 0 where a = 0 <= b, that of a is 0 where b = 0"""

    def plain(self, a: Any, b: Any) -> Any:
        return plain.power(a, b)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        a, b = node.inputs
        da = sum_to(out_grad * b * power(_base(a, b), add_scalar(b, -1)), a) if a.requires_grad else None
        return da, sum_to(out_grad * node * log(_argument(a, b)), b) if b.requires_grad else None


class PowerScalar(Pointwise, name="power_scalar"):
    """y = a^scalar, elementwise; the scalar may be zero, negative or a fraction"""

    scalar: float

    def plain(self, a: Any, scalar: float) -> Any:
        return plain.power(a, scalar)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        (a,) = node.inputs
        if self.scalar == 0:
            return mul_scalar(out_grad, 0)  # 0 a^-1 would be no number at a = 0
        if self.scalar == 1:
            return out_grad
        slope = a if self.scalar == 2 else power_scalar(a, self.scalar - 1)
        return out_grad * mul_scalar(slope, self.scalar)


def _base(a: Tensor, b: Tensor) -> Tensor:
    """a, but 1 where b = 0 and a is 0 or NaN: there b a^(b - 1), the slope of a constant, is 0."""
    return where(logical_and(equal(b, 0), logical_not(absolute(a) > 0)), 1, a)


def _argument(a: Tensor, b: Tensor) -> Tensor:
    """a, but 1 where a = 0 <= b: there a^b log a is 0, its limit for any b > 0."""
    return where(logical_and(equal(a, 0), greater_equal(b, 0)), 1, a)


power = function(EWisePow, "a^b, elementwise.")
power_scalar = function(PowerScalar, "a^scalar, elementwise.")
