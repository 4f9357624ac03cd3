"""Python's operators on tensors: the other operand may be a Tensor, a number or a numpy array, on either side."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy

import needle  # for needle.ops, which are written in Tensors

from .autograd import Value
from .backend_selection import NDArray
from .types import FLOATS, complement, number_of

if TYPE_CHECKING:
    from .tensor import Tensor


class Operators(Value):
    """Arithmetic and comparisons, elementwise with numpy's broadcasting; each is one or two ops of the graph.

    Numbers and numpy arrays are constants. See docs/dtypes.md for the dtype in which operands meet; there signs are
    changed, for what is unsigned, or bool, has no negative in its own.
    """

    def __add__(self, other: Any) -> Tensor:
        other = _operand(self, other)
        return needle.ops.EWiseAdd()(self, other) if isinstance(other, Operators) else needle.ops.AddScalar(other)(self)

    def __sub__(self: Any, other: Any) -> Tensor:
        other = _operand(self, other)
        if isinstance(other, Operators):
            a, b = _meeting(self, other)
            negative = -b
        else:
            a, negative = self, -other if other.__class__ is float else complement("sub", other, str(self.dtype))
        difference: Tensor = a + negative
        return difference

    def __rsub__(self: Any, other: Any) -> Tensor:
        other = _operand(self, other)
        difference: Tensor = other - self if isinstance(other, Operators) else _negative_beside(self, other) + other
        return difference

    def __mul__(self, other: Any) -> Tensor:
        other = _operand(self, other)
        return needle.ops.EWiseMul()(self, other) if isinstance(other, Operators) else needle.ops.MulScalar(other)(self)

    def __truediv__(self, other: Any) -> Tensor:
        other = _operand(self, other)
        return needle.ops.EWiseDiv()(self, other) if isinstance(other, Operators) else needle.ops.DivScalar(other)(self)

    def __rtruediv__(self: Any, other: Any) -> Tensor:
        return needle.ops.EWiseDiv()(needle.ops.ops_cast.as_operand("divide", self, other), self)

    def __pow__(self, other: Any) -> Tensor:
        other = _operand(self, other)
        if isinstance(other, Operators):
            return needle.ops.EWisePow()(self, other)
        return needle.ops.PowerScalar(other)(self)

    def __rpow__(self: Any, other: Any) -> Tensor:
        return needle.ops.EWisePow()(needle.ops.ops_cast.as_operand("power", self, other), self)

    def __matmul__(self: Any, other: Any) -> Tensor:
        return needle.ops.matmul(self, _operand(self, other))

    def __rmatmul__(self: Any, other: Any) -> Tensor:
        return needle.ops.matmul(_operand(self, other), self)

    def __neg__(self) -> Tensor:
        return needle.ops.Negate()(self)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Tensor:
        return needle.ops.Abs()(self)

    def __lt__(self, other: Any) -> Tensor:
        return needle.ops.less(self, other)

    def __le__(self, other: Any) -> Tensor:
        return needle.ops.less_equal(self, other)

    def __gt__(self, other: Any) -> Tensor:
        return needle.ops.greater(self, other)

    def __ge__(self, other: Any) -> Tensor:
        return needle.ops.greater_equal(self, other)

    def __eq__(self, other: object) -> bool:
        """Whether both are one object, as keys need it; warns where elements may be meant: `equal` compares them."""
        if self is other:
            return True
        if not isinstance(other, COMPARED):
            return NotImplemented
        _warn_of_identity("==", "equal")
        return False

    def __ne__(self, other: object) -> bool:
        """Whether these are two objects; warns where elements may be meant: `not_equal` compares them."""
        if self is other:
            return False
        if not isinstance(other, COMPARED):
            return NotImplemented
        _warn_of_identity("!=", "not_equal")
        return True

    __hash__ = Value.__hash__
    __radd__ = __add__
    __rmul__ = __mul__


COMPARED = (Operators, NDArray, numpy.ndarray, numpy.generic, int, float)  # beside which == may mean the elements


def _warn_of_identity(operator: str, function: str) -> None:
    """Name the line that compares a Tensor; Python's default filter does so once for each."""
    warnings.warn(
        f"[Tensor] a {operator} b asks whether both are one object, which `is` says without this warning; "
        f"needle.{function}(a, b) compares their elements",
        stacklevel=3,
    )


def _operand(x: Any, other: Any) -> Any:
    """A numpy array with axes as a constant beside x; anything else as it is."""
    if isinstance(other, numpy.ndarray) and other.ndim:
        return needle.ops.ops_cast.as_operand("operand", x, other)
    return other


def _meeting(a: Any, b: Any) -> Any:
    """Both where they meet, for a - b; floats have signs in their own dtype."""
    return (a, b) if b.dtype in FLOATS else needle.ops.promoted((a, b))


def _negative_beside(x: Any, number: Any) -> Any:
    """-x, in the dtype in which x meets a number."""
    if x.dtype not in FLOATS:
        number = number_of("sub", number, str(x.dtype))
        if needle.ops.dtype_rules.with_scalar("sub", x.type, number).dtype != x.dtype:
            return x * (-1.0 if isinstance(number, float) else -1)
    return -x
