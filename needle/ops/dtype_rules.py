"""The dtypes of results: promotion, what an op takes, and the types of elementwise ops. No data is touched here."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy

from ..backend_selection import BACKEND
from ..errors import DTypeError
from ..types import DTYPES, Type, dtype_of, promote, promote_number, summed
from .attributes import number
from .shape_rules import broadcast_shape

if TYPE_CHECKING:
    from .pointwise import Pointwise

Rule = Callable[..., Type]  # (op, *types of the operands) -> type of the result


def promoted(a: str, b: str) -> str:
    """The dtype of a result computed from dtypes `a` and `b`: by `promote`, in numpy mode by numpy's own rule."""
    return a if a == b else promote(a, b) if BACKEND == "nd" else str(numpy.result_type(a, b))


def known_dtype(where: str, dtype: Any) -> str:
    """The name of a dtype that arrays of this backend can have. DTypeError if there is none."""
    if BACKEND == "nd" or (isinstance(dtype, str) and dtype in DTYPES):
        return dtype_of(where, dtype)
    try:
        name, kind = str(numpy.dtype(dtype).name), numpy.dtype(dtype).kind
    except (TypeError, ValueError, SyntaxError):
        kind, name = "", repr(dtype)
    if kind not in ("b", "i", "u", "f"):
        raise DTypeError(f"[{where}] dtype must be one of {', '.join(DTYPES)}, got {name}")
    return name


def one_dtype(where: str, *types: Type) -> str:
    """The dtype of operands that must agree in it. DTypeError where they do not, but in numpy mode, which promotes."""
    meeting = types[0].dtype
    for type in types[1:]:
        meeting = promoted(meeting, type.dtype)
    if BACKEND == "nd" and any(type.dtype != meeting for type in types):
        given = ", ".join(each.dtype for each in types)
        raise DTypeError(f"[{where}] operands must have one dtype, got {given}; x.astype(\"{meeting}\") casts")
    return meeting


def one_float(where: str, *types: Type) -> str:
    """The dtype of operands that must be floats of one dtype. DTypeError where they are not; see `one_dtype`."""
    dtype = one_dtype(where, *types)
    if not dtype.startswith("float") and BACKEND == "nd":
        raise DTypeError(f"[{where}] needs float32 or float64, got {dtype}; x.astype(\"float32\") casts")
    return dtype


def elementwise(where: str, a: Type, b: Type) -> Type:
    """The type of an elementwise op on two operands."""
    if a == b:
        return a
    return Type(broadcast_shape(where, a.shape, b.shape), promoted(a.dtype, b.dtype))


def with_scalar(where: str, x: Type, scalar: Any) -> Type:
    """The type of an elementwise op on a tensor and a number."""
    value = number(where, scalar, x.dtype)
    if x.dtype.startswith("float"):
        return x
    return Type(x.shape, promote_number(x.dtype, value) if BACKEND == "nd" else str(numpy.result_type(x.dtype, value)))


def real(x: Type) -> Type:
    """The type of exp, log, tanh ... of `x`: floats stay; bool and integers become float32, in numpy mode float64."""
    return x if x.dtype.startswith("float") else Type(x.shape, "float32" if BACKEND == "nd" else "float64")


def signed(where: str, x: Type) -> Type:
    """The type of -x: DTypeError for bool, as numpy has it."""
    if x.dtype == "bool":
        raise DTypeError(f"[{where}] is not defined for bool; x.astype(\"float32\") or another dtype casts")
    return x


@lru_cache
def total_dtype(dtype: str) -> str:
    """The dtype of a sum: bool and integers are summed in int64, in numpy mode as numpy has it."""
    return summed(dtype) if BACKEND == "nd" else str(numpy.zeros(0, dtype).sum().dtype)


def promoted_type(op: type[Pointwise]) -> Rule:
    """The rule of a pointwise op whose result has the dtype in which its operands meet; numbers are weak."""
    if op.operands == 2:
        return lambda self, a, b: elementwise(self.name, a, b)
    return _beside_numbers if op.settings else lambda self, a: a


def _beside_numbers(op: Pointwise, a: Type) -> Type:
    for value in op.numbers:
        a = with_scalar(op.name, a, value)
    return a


def floating(op: type[Pointwise]) -> Rule:
    """The rule of a real function: floats stay, integers become floats, beside which numbers are, too."""
    rule = promoted_type(op)
    if op.operands == 2:
        return lambda self, a, b: real(rule(self, a, b))
    return lambda self, a: rule(self, real(a))


def true_or_false(op: type[Pointwise]) -> Rule:
    """The rule of a predicate: bool."""
    rule = promoted_type(op)
    if op.operands == 2:
        return lambda self, a, b: Type(rule(self, a, b).shape, "bool")
    return lambda self, a: Type(rule(self, a).shape, "bool")


def with_sign(op: type[Pointwise]) -> Rule:
    """The rule of -x: the dtype of the operand, which is not bool."""
    return lambda self, a: signed(self.name, a)
