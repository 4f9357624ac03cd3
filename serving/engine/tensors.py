"""Tensors on the wire of the Open Inference Protocol v2: JSON numbers or little-endian row-major bytes, both ways."""

import math
import struct
from itertools import chain
from typing import Any

import numpy as np

from serving.engine.errors import NotFinite, ServingError

# datatype -> numpy type on the wire. BYTES has no fixed size; BF16 travels as the upper half of a float32.
WIRE = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BF16": np.dtype("<u2"),
}


def from_bytes(blob: memoryview, datatype: str, shape: tuple[int, ...], where: str) -> np.ndarray:
    """The array of `shape` whose elements are `blob`, row-major and little-endian; a view where that is possible."""
    if datatype == "BYTES":
        return _strings(blob, shape, where)
    needed = math.prod(shape) * WIRE[datatype].itemsize
    if len(blob) != needed:
        raise ServingError(f"[{where}] {datatype} {list(shape)} is {needed} bytes, got {len(blob)}")
    array = np.frombuffer(blob, WIRE[datatype]).reshape(shape)
    if datatype == "BOOL" and np.frombuffer(blob, np.uint8).max(initial=0) > 1:
        raise ServingError(f"[{where}] BOOL bytes must be 0 or 1")
    if datatype == "BF16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array


def _strings(blob: memoryview, shape: tuple[int, ...], where: str) -> np.ndarray:
    """Elements of BYTES: each a 4-byte little-endian length and that many bytes."""
    elements: list[bytes] = []
    at = 0
    while at < len(blob):
        if at + 4 > len(blob):
            raise ServingError(f"[{where}] BYTES element {len(elements)} ends inside its length")
        (size,) = struct.unpack_from("<I", blob, at)
        at += 4 + size
        if at > len(blob):
            left = len(blob) - at + size
            raise ServingError(f"[{where}] BYTES element {len(elements)} says {size} bytes, {left} are left")
        elements.append(bytes(blob[at - size : at]))
    if len(elements) != math.prod(shape):
        raise ServingError(f"[{where}] BYTES {list(shape)} is {math.prod(shape)} elements, got {len(elements)}")
    return _objects(elements, shape)


def _objects(elements: list[Any], shape: tuple[int, ...]) -> np.ndarray:
    array = np.empty(len(elements), object)
    array[:] = elements
    return array.reshape(shape)


def from_json(data: Any, datatype: str, shape: tuple[int, ...], where: str) -> np.ndarray:
    """The array of `shape` whose elements are the JSON list `data`, flat or nested like the shape."""
    elements = _flatten(data, shape, where)
    kinds = set(map(type, elements))
    if datatype == "BYTES":
        _check_kinds(kinds, {str}, datatype, where)
        return _objects([text.encode() for text in elements], shape)
    if datatype == "BOOL":
        _check_kinds(kinds, {bool}, datatype, where)
    elif datatype.startswith(("INT", "UINT")):
        _check_kinds(kinds, {int}, datatype, where)
        bounds = np.iinfo(str(WIRE[datatype]))
        if elements and not bounds.min <= min(elements) <= max(elements) <= bounds.max:
            raise ServingError(f"[{where}] {datatype} holds {bounds.min} to {bounds.max}; the data goes beyond")
    else:
        _check_kinds(kinds, {int, float}, datatype, where)
    dtype = np.dtype("<f4") if datatype == "BF16" else WIRE[datatype]
    with np.errstate(over="ignore"):
        array = np.array(elements, np.float64 if dtype.kind == "f" else dtype).astype(dtype).reshape(shape)
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise ServingError(f"[{where}] a number is too large for {datatype}")
    return array


def _check_kinds(kinds: set[type], wanted: set[type], datatype: str, where: str) -> None:
    if kinds - wanted:
        given = ", ".join(sorted(kind.__name__ for kind in kinds - wanted))
        raise ServingError(f"[{where}] {datatype} data must be {' or '.join(k.__name__ for k in wanted)}, got {given}")


def _flatten(data: Any, shape: tuple[int, ...], where: str) -> list[Any]:
    """The elements of a list that is flat, or nested exactly like `shape`."""
    if not isinstance(data, list):
        raise ServingError(f"[{where}] data must be a list, got {type(data).__name__}")
    rows: list[Any] = data
    if data and isinstance(data[0], list):
        rows = [data]
        for size in shape:
            if any(type(row) is not list or len(row) != size for row in rows):
                raise ServingError(f"[{where}] nested data does not have the shape {list(shape)}")
            rows = list(chain.from_iterable(rows))
    if len(rows) != math.prod(shape):
        raise ServingError(f"[{where}] shape {list(shape)} is {math.prod(shape)} elements, got {len(rows)}")
    return rows


def to_bytes(array: np.ndarray, datatype: str) -> bytes:
    """The elements of `array`, row-major and little-endian; the inverse of `from_bytes`."""
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(text)) + text for text in array.ravel())
    if datatype == "BF16":  # to the nearest, ties to even
        bits = np.ascontiguousarray(array, np.float32).view(np.uint32).astype(np.uint64)
        rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
        return np.where(np.isnan(array), np.uint16(0x7FC0), rounded).astype("<u2").tobytes()
    return np.ascontiguousarray(array, WIRE[datatype]).tobytes()


def to_json(array: np.ndarray, datatype: str, where: str = "output") -> Any:
    """The elements of `array` as a flat list, or as a flat array that the JSON writer knows how to print.

    Raises NotFinite for numbers that JSON has no words for.
    """
    if datatype == "BYTES":
        return [text.decode("utf-8", "replace") for text in array.ravel()]
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise NotFinite(f"[{where}] holds NaN or infinity, which JSON has no words for; ask for binary_data")
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    return np.ascontiguousarray(array).ravel()
