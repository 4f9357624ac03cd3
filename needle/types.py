"""Types of values: shape and dtype, known without any data.

An op's `infer` maps the types of its inputs to the type of its output. Shapes are tuples of ints; while a graph is
being traced an int may be a `Size` (sizes.py), an expression over named dims, so that `batch` stays symbolic.

NDArrays hold the DTYPES, and those of two operands meet in the later one: bool < uint8, int8 < int32 < int64 < float32
< float64. Python numbers are weak: they raise the dtype only where it cannot hold their kind. See docs/dtypes.md.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy

from .errors import DTypeError


class DType(NamedTuple):
    """What is to be known of a dtype: `bytes` of an element, its C++ type, the whole numbers it holds from `low` on.

    Those that C lacks are structs of csrc/nd/stored.h, for whose memory a C interface has whole numbers of that size.
    """

    name: str
    bytes: int
    kind: str  # "bool", "integer" or "float"
    cpp: str
    low: int = -(2**1023)  # of floats: those that Python makes a float of
    high: int = 2**1023  # the first above

    @property
    def c(self) -> str:
        """The type in a C interface."""
        return f"uint{8 * self.bytes}_t" if self.cpp[0].isupper() else self.cpp


ARRAYS = (
    DType("bool", 1, "bool", "bool", -(2**63), 2**63),  # beside it a number counts as an int64
    DType("uint8", 1, "integer", "uint8_t", 0, 2**8),
    DType("int8", 1, "integer", "int8_t", -(2**7), 2**7),
    DType("int32", 4, "integer", "int32_t", -(2**31), 2**31),
    DType("int64", 8, "integer", "int64_t", -(2**63), 2**63),
    DType("float32", 4, "float", "float"),
    DType("float64", 8, "float", "double"),
)
DTYPES = tuple(x.name for x in ARRAYS)  # of NDArrays
STORED = (  # what programs hold beside these, in memory alone: they compute in a wider dtype and round when they store
    DType("int16", 2, "integer", "int16_t", -(2**15), 2**15),
    DType("uint16", 2, "integer", "uint16_t", 0, 2**16),
    DType("uint32", 4, "integer", "uint32_t", 0, 2**32),
    DType("uint64", 8, "integer", "uint64_t", 0, 2**64),
    DType("int4", 1, "integer", "Int4", -8, 8),
    DType("uint4", 1, "integer", "UInt4", 0, 16),
    DType("int2", 1, "integer", "Int2", -2, 2),
    DType("uint2", 1, "integer", "UInt2", 0, 4),
    DType("float16", 2, "float", "Float16"),
    DType("bfloat16", 2, "float", "BFloat16"),
    DType("float8_e4m3fn", 1, "float", "Float8E4M3"),
    DType("float8_e4m3fnuz", 1, "float", "Float8E4M3Z"),
    DType("float8_e5m2", 1, "float", "Float8E5M2"),
    DType("float8_e5m2fnuz", 1, "float", "Float8E5M2Z"),
    DType("float4_e2m1fn", 1, "float", "Float4E2M1"),
)
TYPES = {x.name: x for x in (*ARRAYS, *STORED)}
INTEGERS, NUMBERS = (int, numpy.integer), (int, float, numpy.number)  # what may stand for a size and for a setting
FLOATS = ("float32", "float64", "float16", "longdouble")  # that have gradients; the last two in numpy mode alone


def dtype_of(where: str, dtype: Any) -> str:
    """The name of a dtype in any spelling ("int64", numpy.int64, int, ...). DTypeError unless it is one of DTYPES."""
    if isinstance(dtype, str) and dtype in DTYPES:
        return dtype
    try:
        name = str(numpy.dtype(dtype).name)
    except (TypeError, ValueError, SyntaxError):  # what numpy answers to words it does not know
        name = ""
    if dtype is None or name not in DTYPES:
        raise DTypeError(f"[{where}] dtype must be one of {', '.join(DTYPES)}, got {name or repr(dtype)}")
    return name


@lru_cache
def promote(a: str, b: str) -> str:
    """The dtype in which NDArrays of dtypes `a` and `b` meet: the later one of DTYPES; uint8 and int8 in int32."""
    return "int32" if {a, b} == {"uint8", "int8"} else max(a, b, key=DTYPES.index)


def promote_number(dtype: str, number: bool | int | float) -> str:
    """The dtype in which an NDArray of `dtype` meets a Python number: its own, if it has numbers of that kind."""
    if isinstance(number, bool) or dtype.startswith("float"):
        return dtype
    if isinstance(number, float):
        return "float32"
    return "int64" if dtype == "bool" else dtype


def plain_number(value: Any) -> Any:
    """`value` as a Python number where it is a numpy number, or an array or Tensor of one element; else `value` itself.

    A Tensor counts as a constant: nothing flows back to it.
    """
    if isinstance(value, numpy.generic | numpy.ndarray):
        if value.size != 1 or value.dtype.kind not in "biuf":
            return value
        return float(value.item()) if value.dtype.kind == "f" else value.item()
    if hasattr(value, "numpy") and hasattr(value, "shape") and prod(value.shape) == 1:
        return plain_number(value.numpy())
    return value


def number_of(where: str, value: Any, dtype: Any) -> Any:
    """`value`, a number or what `plain_number` makes one of, as a Python number that meets arrays of `dtype`.

    DTypeError if it is none, or a whole number that is too large for the dtype.
    """
    value = plain_number(value)
    if isinstance(value, float):
        return float(value)
    if not isinstance(value, int):
        fix = "; Tensor(x) makes one of an array" if isinstance(value, numpy.ndarray) else ""
        raise DTypeError(f"[{where}] needs a number, got {type(value).__name__}{fix}")
    record = TYPES.get(dtype, TYPES["float64" if dtype in FLOATS else "int64"])  # others are in numpy mode alone
    if not record.low <= value < record.high:
        raise DTypeError(f"[{where}] {value:.6g} is no number that {dtype} holds" if value < 0 == record.low else
                         f"[{where}] {value:.6g} is too large for {dtype}" if abs(value) < 2.0**1023 else
                         f"[{where}] a number of {value.bit_length()} bits is too large for {dtype}")  # fmt: skip
    return value


def held(where: str, value: Any, dtype: str) -> Any:
    """`value` as a Python number that an array of `dtype` can hold. DTypeError for NaN and the like in integers."""
    number = number_of(where, value, dtype)
    if dtype == "bool":
        return bool(number)
    if isinstance(number, float) and dtype in TYPES and TYPES[dtype].kind == "integer":
        if not abs(number) < 2.0**63:
            raise DTypeError(f"[{where}] {number:.6g} is no number that {dtype} holds")
        return number_of(where, int(number), dtype)
    return number


def complement(where: str, value: Any, dtype: str) -> Any:
    """-value, for x - value: where an integer dtype holds the value alone, what it wraps around to, as numpy has it."""
    value = number_of(where, value, dtype)
    record = TYPES.get(dtype)
    if isinstance(value, float) or record is None or record.kind == "float":
        return -value
    return (-value - record.low) % (record.high - record.low) + record.low


def summed(dtype: str) -> str:
    """The dtype of sums: int64 for bool and integers."""
    return dtype if "float" in dtype else "int64"


class Type(NamedTuple):
    """Shape (a tuple of ints or `Size`s) and dtype (a string such as "float32") of one tensor."""

    shape: tuple[int, ...]
    dtype: str = "float32"
