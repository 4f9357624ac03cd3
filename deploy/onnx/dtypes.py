"""Element types of ONNX and their names in graphs: numpy's, those of ml_dtypes, and "object" for strings."""

from __future__ import annotations

import importlib
from typing import Any

import numpy

from ..dtypes import numpy_dtype

__all__ = ["BITS", "CODES", "FLOATS", "HALVES", "NAMES", "SMALL_FLOATS", "is_float", "limits", "numpy_dtype"]

NAMES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "object", 9: "bool",
    10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128", 16: "bfloat16",
    17: "float8_e4m3fn", 18: "float8_e4m3fnuz", 19: "float8_e5m2", 20: "float8_e5m2fnuz", 21: "uint4", 22: "int4",
    23: "float4_e2m1fn", 24: "float8_e8m0fnu", 25: "uint2", 26: "int2",
}  # fmt: skip
CODES = {name: code for code, name in NAMES.items()}
SMALL_FLOATS = tuple(name for name in CODES if name.startswith(("float8", "float4")))
HALVES = ("float16", "bfloat16")  # stored; computed in float32
FLOATS = ("float32", "float64", *HALVES, *SMALL_FLOATS)
BITS = {"int4": 4, "uint4": 4, "int2": 2, "uint2": 2, "float4_e2m1fn": 4}


def is_float(dtype: str) -> bool:
    """Whether values of this dtype are real numbers in floating point."""
    return dtype in FLOATS


def limits(dtype: str) -> tuple[Any, Any]:
    """The least and the largest value of a dtype: infinities of floats that have them."""
    if dtype == "bool":
        return False, True
    kind = numpy_dtype(dtype)
    if dtype in ("float16", "float32", "float64", "bfloat16"):
        return -numpy.inf, numpy.inf
    if kind.kind in "iu":
        info: Any = numpy.iinfo(kind)
    else:
        small: Any = importlib.import_module("ml_dtypes")
        info = small.finfo(kind) if "float" in dtype else small.iinfo(kind)
    return info.min, info.max
