"""Comparisons, logic on their results, and the choice between two tensors by such a mask."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy

from ..autograd import Tensor
from ..backend_ndarray.kernels import pointwise
from ..errors import DTypeError
from ..types import TYPES, Type, plain_number
from . import array_compat
from .dtype_rules import promoted, true_or_false
from .op_function import function
from .ops_broadcast import sum_to
from .ops_cast import as_operand, cast
from .ops_cast import promoted as cast_together
from .pointwise import Pointwise
from .shape_rules import broadcast_shape

__all__ = [
    "Equal", "Greater", "GreaterEqual", "Less", "LessEqual", "LogicalAnd", "LogicalNot", "LogicalOr", "NotEqual",
    "Where", "equal", "greater", "greater_equal", "less", "less_equal", "logical_and", "logical_not", "logical_or",
    "not_equal", "where",
]  # fmt: skip


class Truth(Pointwise):
    """y = whether a predicate holds of the elements: true or false, without gradient"""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(result=true_or_false, **options)

    def compute(self, *operands: Any) -> Any:
        return array_compat.truth(super().compute(*operands))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return (None,) * len(node.inputs)


class Equal(Truth, name="equal", operands=2):
    """y = [a = b], elementwise: true or false"""

    plain = numpy.equal


class NotEqual(Truth, name="not_equal", operands=2):
    """y = [a is not b], elementwise: true or false"""

    plain = numpy.not_equal


class Less(Truth, name="less", operands=2):
    """y = [a < b], elementwise: true or false"""

    plain = numpy.less


class LessEqual(Truth, name="less_equal", operands=2):
    """y = [a <= b], elementwise: true or false"""

    plain = numpy.less_equal


class Greater(Truth, name="greater", operands=2):
    """y = [a > b], elementwise: true or false"""

    plain = numpy.greater


class GreaterEqual(Truth, name="greater_equal", operands=2):
    """y = [a >= b], elementwise: true or false"""

    plain = numpy.greater_equal


class LogicalAnd(Truth, name="logical_and", operands=2):
    """y = [a and b, each being true where it is not 0], elementwise: true or false"""

    plain = numpy.logical_and


class LogicalOr(Truth, name="logical_or", operands=2):
    """y = [a or b, each being true where it is not 0], elementwise: true or false"""

    plain = numpy.logical_or


class LogicalNot(Truth, name="logical_not"):
    """y = [a = 0], elementwise: true or false"""

    plain = numpy.logical_not


class Where(Pointwise, name="where", operands=3):
    """y = a where the mask is true (not 0), else b; all three broadcast"""

    def infer(self, mask: Type, a: Type, b: Type) -> Type:
        shape = broadcast_shape("where", broadcast_shape("where", mask.shape, a.shape), b.shape)
        return Type(shape, promoted(a.dtype, b.dtype))

    def compute(self, *operands: Any) -> Any:
        mask, a, b = operands
        a, b = array_compat.aligned(a, b)
        mask, a = array_compat.aligned(array_compat.as_mask(mask, a), a)
        a, b = array_compat.aligned(a, b)
        return pointwise("where", self.plain, mask, a, b)

    def plain(self, mask: Any, a: Any, b: Any) -> Any:
        return numpy.where(mask != 0, a, b)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        mask, a, b = node.inputs
        zero = as_operand("where", out_grad, 0.0)
        da = sum_to(where(mask, out_grad, zero), a) if a.requires_grad else None
        return None, da, sum_to(where(mask, zero, out_grad), b) if b.requires_grad else None


def _both(where: str, a: Any, b: Any) -> tuple[Tensor, Tensor]:
    """The operands, of which one may be a number. DTypeError if neither is a Tensor."""
    if not isinstance(a, Tensor) and not isinstance(b, Tensor):
        raise DTypeError(f"[{where}] one of the two must be a Tensor, got {type(a).__name__} and {type(b).__name__}")
    return (a, as_operand(where, a, b)) if isinstance(a, Tensor) else (as_operand(where, b, a), b)


def _wide(x: Any, beside: Any) -> Any:
    """x but, of integers that lack the whole number beside it, in the first dtype that has both: it is compared."""
    number = None if isinstance(beside, Tensor) or not isinstance(x, Tensor) else plain_number(beside)
    own = TYPES.get(str(x.dtype)) if type(number) is int else None
    if number is None or own is None or own.kind != "integer" or own.low <= number < own.high:
        return x
    wider = [TYPES[name] for name in ("int32", "int64") if promoted(own.name, name) == name]
    return next((cast(x, each.name) for each in wider if each.low <= number < each.high), x)


def _comparison(op: type[Pointwise], about: str) -> Callable[..., Tensor]:
    """The function of an op of two operands, of which one may be a number or a numpy array."""
    apply = function(op, f"{about}, elementwise; one of the two may be a number or a numpy array.")
    return wraps(apply)(lambda a, b: apply(*_both(op.name, _wide(a, b), _wide(b, a))))


equal = _comparison(Equal, "[a = b]")
not_equal = _comparison(NotEqual, "[a is not b]; true where either is NaN")
less = _comparison(Less, "[a < b]")
less_equal = _comparison(LessEqual, "[a <= b]")
greater = _comparison(Greater, "[a > b]")
greater_equal = _comparison(GreaterEqual, "[a >= b]")
logical_and = _comparison(LogicalAnd, "[a and b]")
logical_or = _comparison(LogicalOr, "[a or b]")
logical_not = function(LogicalNot, "[x = 0], elementwise: what was false is true.", "x")


def where(mask: Tensor, a: Any, b: Any) -> Tensor:
    """a where the mask is true, else b; a or b may be a number or a numpy array. What is not chosen gets no gradient.

    Raises DTypeError for a mask that is no Tensor.
    """
    if not isinstance(mask, Tensor):
        raise DTypeError(f"[where] needs a Tensor as mask, got {type(mask).__name__}")
    if not isinstance(a, Tensor) and not isinstance(b, Tensor):
        a = Tensor(a, device=mask.device, requires_grad=False)
    return Where()(mask, *cast_together(_both("where", a, b)))
