"""Other dtypes for tensors, and tensors for the numbers and arrays that stand beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy

from ..autograd import Tensor, TensorOp
from ..backend_selection import BACKEND
from ..errors import DTypeError
from ..types import DTYPES, FLOATS, Type, plain_number
from . import array_compat
from .dtype_rules import known_dtype, with_scalar
from .dtype_rules import promoted as promoted_dtype

__all__ = ["Cast", "cast", "promoted"]


@dataclass(frozen=True)
class Cast(TensorOp):
    """y = x as `dtype`: floats are cut off towards zero for integers, and everything but 0 is True"""

    dtype: str

    def infer(self, x: Type) -> Type:
        return Type(x.shape, known_dtype("cast", self.dtype))

    def compute(self, x: Any) -> Any:
        return array_compat.cast(x, known_dtype("cast", self.dtype))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return Cast(str(node.inputs[0].dtype))(out_grad)


def cast(x: Tensor, dtype: Any) -> Tensor:
    """x, of any shape, with elements of another dtype; x itself where it has that dtype. DTypeError if unknown."""
    name = known_dtype("cast", dtype)
    if not isinstance(x, Tensor):
        raise DTypeError(f"[cast] needs a Tensor, got {type(x).__name__}")
    return x if str(x.dtype) == name else Cast(name)(x)


def promoted(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors, of any shapes, cast to the one dtype in which they meet; see docs/dtypes.md.

    Raises DTypeError for what is no Tensor.
    """
    others = [type(x).__name__ for x in tensors if not isinstance(x, Tensor)]
    if others or not tensors:
        raise DTypeError(f"[promoted] needs Tensors, got {', '.join(others) or 'none'}")
    dtype = reduce(promoted_dtype, [str(x.dtype) for x in tensors])
    return [cast(x, dtype) for x in tensors]


def as_operand(where: str, x: Tensor, value: Any) -> Tensor:
    """A Tensor as it is; a number or a numpy array as a constant on the device of x.

    Its dtype is the one in which a number meets x, for arrays that of `_dtype_beside`. DTypeError for anything else.
    """
    if isinstance(value, Tensor):
        return value
    if isinstance(value, numpy.ndarray) and value.ndim:
        dtype = _dtype_beside(where, str(x.dtype), value.dtype)
    else:
        value = plain_number(value)
        dtype = with_scalar(where, Type((), str(x.dtype)), value).dtype
    if x.cached_data is None:
        return Tensor(value, device=x.device, dtype=dtype, requires_grad=False)
    return Tensor.make_const(array_compat.constant(x.cached_data, numpy.asarray(value), dtype))


def _dtype_beside(where: str, beside: str, own: Any) -> str:
    """The dtype that a numpy array takes beside a tensor: in numpy mode its own.

    Floats are as weak as numbers: they take that of a tensor of floats, else float32, as in Tensor(array). Integers and
    bool are of the first dtype that holds them all. DTypeError for elements that are no numbers.
    """
    if own.kind not in "biuf":
        raise DTypeError(f"[{where}] needs an array of numbers, got {own}")
    if BACKEND == "np":
        return str(own)
    if own.kind == "f":
        return beside if beside in FLOATS else "float32"
    return next((name for name in DTYPES if numpy.can_cast(own, name)), "float32")
