"""Whole numbers and bool on cpu(): what the extension's kernels for elements of any type compute of them.

They compute in 64 bits and cut to the type, so that everything wraps around as numpy's does. All else of these types
is computed by its twin in numpy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from needle.types import TYPES, promote_number, summed

from . import ndarray_backend_cpu as compiled

# Of each pointwise kernel the functor, and of those that make a bool of any type.
ARITHMETIC = {
    "add": "Add", "add_scalar": "Add", "subtract": "Subtract", "subtract_scalar": "Subtract", "multiply": "Multiply",
    "mul_scalar": "Multiply", "maximum": "Maximum", "maximum_scalar": "Maximum", "minimum": "Minimum",
    "negate": "Negate", "absolute": "Absolute", "sign": "Sign", "relu": "Relu", "where": "Where",
}  # fmt: skip
TRUTHS = {
    "equal": "Equal", "equal_scalar": "Equal", "not_equal": "NotEqual", "less": "Less", "less_equal": "LessEqual",
    "greater": "Greater", "greater_equal": "GreaterEqual", "greater_equal_scalar": "GreaterEqual",
    "logical_and": "LogicalAnd", "logical_or": "LogicalOr", "logical_not": "LogicalNot",
}  # fmt: skip
FOLDS = {"sum": "Add", "max": "Maximum", "min": "Minimum"}
SIGNED = ("Subtract", "Negate", "Sign")  # which bool has not


def whole(dtype: str) -> bool:
    """Whether these kernels know the dtype."""
    return TYPES[dtype].kind != "float"


def mapped(kernel: str, first: Any, *more: Any) -> Any:
    """A pointwise kernel of NDArrays of one shape, then numbers, all of one dtype; None where there is none."""
    own = (more[0] if kernel == "where" else first)._handle.dtype
    functor = ARITHMETIC.get(kernel) or TRUTHS.get(kernel)
    if functor is None or first._device.mod is not compiled or not whole(own) or (own == "bool" and functor in SIGNED):
        return None
    operands = [_values(first)]
    for x in more:
        array = hasattr(x, "_handle")
        if (x._handle.dtype if array else promote_number(own, x)) != own:
            return None
        operands.append(_values(x) if array else np.broadcast_to(np.asarray(x, own), first._shape))
    y = first.make(first._shape, None, first._device, None, 0, "bool" if kernel in TRUTHS else own)
    compiled.map_elements(functor, _values(y), operands)
    return y


def folded(kernel: str, x: Any, like: Any) -> Any:
    """The "sum", "max" or "min" over the last axis of an NDArray, in the shape of `like`; sums are of int64."""
    dtype = summed(x.dtype) if kernel == "sum" else x.dtype
    y = x.make(like._shape, None, x._device, None, 0, dtype)
    compiled.fold_elements(FOLDS[kernel], _values(y), _values(x).reshape(y.size, x._shape[-1]))
    return y


def _values(x: Any) -> np.ndarray:
    """The memory of an NDArray of these types."""
    values: np.ndarray = x._handle.array.reshape(x._shape) if x._compact else x.shared()
    return values
