"""An op's attributes as plain JSON values and back, generic over the fields of its dataclass.

None, bool, int, float, str stay as they are, a tuple becomes a list, a named dim becomes {"dim": name, "scale": n}, a
pointwise op, of which another is the gradient, {"op": name, "attributes": its own}.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from typing import Any

from needle.explain import fits
from needle.ops.pointwise import Pointwise
from needle.types import Dim

from .errors import NdFormatError
from .registry import OPS

MAX_INT = 2**53  # what every JSON reader keeps exactly
MAX_LIST = 64


def encode(value: Any) -> Any:
    """A value of an attribute or a shape as JSON. Raises NdFormatError for what a `.nd` file cannot hold."""
    if isinstance(value, Dim):
        return {"dim": value.name, "scale": value.scale}
    if isinstance(value, Pointwise):
        return {"op": type(value).__name__, "attributes": encode_op(value)}
    if isinstance(value, tuple | list):
        return [encode(x) for x in value]
    if value is None or isinstance(value, bool | str):
        return value
    if hasattr(value, "item"):  # a numpy scalar
        value = value.item()
    if (isinstance(value, int) and abs(value) <= MAX_INT) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise NdFormatError(f"[nd] an attribute must be finite plain data, got {value!r}")


def decode(value: Any, sizes: Mapping[str, int], where: str) -> Any:
    """The inverse of `encode`; a named dim gets its stand-in from `sizes`."""
    if isinstance(value, list):
        if len(value) > MAX_LIST:
            raise NdFormatError(f"{where}: a list of at most {MAX_LIST} items is allowed, got {len(value)}")
        return tuple(decode(x, sizes, where) for x in value)
    if isinstance(value, dict):
        return _op(value, where) if "op" in value else _dim(value, sizes, where)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > MAX_INT:
        raise NdFormatError(f"{where}: the integer {value} is too large")
    return value


def _dim(value: dict[str, Any], sizes: Mapping[str, int], where: str) -> Dim:
    """{"dim": name, "scale": n} as a Dim of the graph."""
    name, scale = value.get("dim"), value.get("scale")
    if set(value) != {"dim", "scale"} or name not in sizes:
        raise NdFormatError(f"{where}: unknown dim {value!r}")
    if not isinstance(scale, int) or isinstance(scale, bool) or not 1 <= scale <= MAX_INT:
        raise NdFormatError(f"{where}: a dim's scale must be a positive integer, got {scale!r}")
    return Dim(str(name), sizes[str(name)], scale)


def _op(value: dict[str, Any], where: str) -> Pointwise:
    """{"op": name, "attributes": {...}} as a pointwise op; its attributes hold no other."""
    cls, attributes = OPS.get(str(value["op"])), value.get("attributes")
    plain = isinstance(attributes, dict) and not any(isinstance(x, dict | list) for x in attributes.values())
    if set(value) != {"op", "attributes"} or cls is None or not issubclass(cls, Pointwise) or not plain:
        raise NdFormatError(f"{where}: needs a pointwise op, got {value!r:.200}")
    found: Pointwise = decode_op(cls, attributes, {}, where)
    return found


def encode_op(op: Any) -> dict[str, Any]:
    """The fields of an op that differ from nothing at all: every one, by name."""
    return {f.name: encode(getattr(op, f.name)) for f in dataclasses.fields(op)}


def decode_op(cls: type, attributes: Any, sizes: Mapping[str, int], where: str) -> Any:
    """An op of class `cls`; fields that a file leaves out, as one from before their time does, have their defaults.

    Raises NdFormatError for unknown fields, for missing ones without a default and for values of the wrong type.
    """
    names = {f.name for f in dataclasses.fields(cls)}
    needed = {f.name for f in dataclasses.fields(cls) if f.default is dataclasses.MISSING}
    if not isinstance(attributes, dict) or not needed <= attributes.keys() <= names:
        given = sorted(attributes) if isinstance(attributes, dict) else attributes
        raise NdFormatError(f"{where}: {cls.__name__} has the attributes {sorted(names)}, got {given!r}")
    hints = typing.get_type_hints(cls)
    values = {name: decode(attributes[name], sizes, f"{where}.{name}") for name in sorted(attributes)}
    for name, value in values.items():
        if not fits(value, hints[name]):
            raise NdFormatError(f"{where}.{name}: needs {hints[name]}, got {value!r}")
    try:
        return cls(**values)
    except (ValueError, TypeError) as error:
        raise NdFormatError(f"{where}: {error}") from error
