"""Whole numbers and bool on cpu() and cuda(): what the extensions' kernels for elements of any type compute of them.

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
    device = first._device
    here = device.mod is compiled or not device.shares_memory
    if functor is None or not here or not whole(own) or (own == "bool" and functor in SIGNED):
        return None
    operands = [first]
    for x in more:
        array = hasattr(x, "_handle")
        if (x._handle.dtype if array else promote_number(own, x)) != own:
            return None
        operands.append(x if array else _number(x, first))
    y = first.make(first._shape, None, device, None, 0, "bool" if kernel in TRUTHS else own)
    if device.shares_memory:
        compiled.map_elements(functor, _values(y), [_values(x) if hasattr(x, "_handle") else x for x in operands])
    else:
        device.mod.map_elements(functor, y._shape, [_view(x) for x in (y, *operands)])
    return y


def _number(value: Any, like: Any) -> Any:
    """A number in the shape of an array, and as what the kernels of its device take beside it."""
    if like._device.shares_memory:
        return np.broadcast_to(np.asarray(value, like._handle.dtype), like._shape)
    return like._device.full((1,) * len(like._shape), value, like._handle.dtype).broadcast_to(like._shape)


def cast(x: Any, dtype: str) -> Any:
    """The elements of an array on a device of its own memory as another dtype."""
    y = x.make(x._shape, None, x._device, None, 0, dtype)
    x._device.mod.map_elements("Copy", x._shape, [_view(y), _view(x)])
    return y


def folded(kernel: str, x: Any, like: Any) -> Any:
    """The "sum", "max" or "min" over the last axis of an NDArray, in the shape of `like`; sums are of int64."""
    dtype = summed(x.dtype) if kernel == "sum" else x.dtype
    y = x.make(like._shape, None, x._device, None, 0, dtype)
    if x._device.shares_memory:
        compiled.fold_elements(FOLDS[kernel], _values(y), _values(x).reshape(y.size, x._shape[-1]))
    else:
        x._device.mod.fold_elements(FOLDS[kernel], x._handle, y._handle, x._shape[-1])
    return y


def _view(x: Any) -> tuple[Any, tuple[int, ...], int]:
    """An array as the extension of a device takes it: memory, strides and offset."""
    return x._handle, x._strides, x._offset


def _values(x: Any) -> np.ndarray:
    """The memory of an NDArray of these types."""
    values: np.ndarray = x._handle.array.reshape(x._shape) if x._compact else x.shared()
    return values
