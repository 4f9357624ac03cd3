"""What an operand that is no Tensor becomes beside one that is."""

from __future__ import annotations

from typing import Any

import numpy

from ..autograd import Tensor
from ..backend_selection import BACKEND
from ..errors import DTypeError
from ..types import DTYPES, FLOATS, Type, plain_number
from . import arrays
from .shapes import with_scalar


def like(where: str, x: Tensor, value: Any) -> Tensor:
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
    return Tensor.make_const(arrays.constant(x.cached_data, numpy.asarray(value), dtype))


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
