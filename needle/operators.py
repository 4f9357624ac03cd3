"""Python's operators on tensors: the other operand may be a Tensor, a number or a numpy array, on either side."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy

import needle  # for needle.ops, which are written in Tensors

from .autograd import Value
from .backend_selection import NDArray
from .types import number_of

if TYPE_CHECKING:
    from .tensor import Tensor


class Operators(Value):
    """Arithmetic and comparisons, elementwise with numpy's broadcasting; each is one or two ops of the graph.

    Numbers and numpy arrays are constants. See docs/dtypes.md for the dtype in which operands meet.
    """

    def __add__(self, other: Any) -> Tensor:
        other = _operand(self, other)
        return needle.ops.EWiseAdd()(self, other) if isinstance(other, Operators) else needle.ops.AddScalar(other)(self)

    def __sub__(self, other: Any) -> Tensor:
        other = _operand(self, other)
        return self + (needle.ops.Negate()(other) if isinstance(other, Operators) else _negative(other))

    def __rsub__(self, other: Any) -> Tensor:
        difference: Tensor = -self + other
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


def _negative(number: Any) -> Any:
    """-number, for a - number."""
    return -number_of("sub", number, "float64")
