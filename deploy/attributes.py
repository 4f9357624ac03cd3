"""An op's attributes as plain JSON values and back, generic over the fields of its dataclass.

None, bool, int, float, str stay as they are, a tuple becomes a list, a named size {"dim": name} or {"sum": ...}, a
pointwise op, of which another is the gradient, {"op": name, "attributes": its own}, a float that JSON lacks
{"float": "-inf"}.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from math import prod
from typing import Any

from needle.explain import fits
from needle.ops.pointwise import Pointwise
from needle.size_terms import Dim, Factor, Quotient, Terms
from needle.sizes import Size, larger, smaller

from .errors import NdFormatError
from .registry import OPS

MAX_INT = 2**53  # what every JSON reader keeps exactly
MAX_LIST = 100_000  # the keys of a table, say
MAX_TERMS, MAX_DEPTH = 64, 8  # of a size


def encode(value: Any) -> Any:
    """A value of an attribute or a shape as JSON. Raises NdFormatError for what a `.nd` file cannot hold."""
    if isinstance(value, Size):
        return encode_size(value.terms)
    if isinstance(value, Pointwise):
        return {"op": type(value).__name__, "attributes": encode_op(value)}
    if isinstance(value, tuple | list):
        return [encode(x) for x in value]
    if value is None or isinstance(value, bool | str):
        return value
    if hasattr(value, "item"):  # a numpy scalar
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if isinstance(value, float) or (isinstance(value, int) and abs(value) <= MAX_INT):
        return value
    raise NdFormatError(f"[nd] an attribute must be plain data, got {value!r}")


def decode(value: Any, sizes: Mapping[str, Size], where: str) -> Any:
    """The inverse of `encode`; a named dim gets its stand-in from `sizes`."""
    if isinstance(value, list):
        if len(value) > MAX_LIST:
            raise NdFormatError(f"{where}: a list of at most {MAX_LIST} items is allowed, got {len(value)}")
        return tuple(decode(x, sizes, where) for x in value)
    if isinstance(value, dict):
        match value:
            case {"float": "inf" | "-inf" | "nan" as text, **rest} if not rest:
                return float(text)
        return _op(value, where) if "op" in value else _size(value, sizes, where)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > MAX_INT:
        raise NdFormatError(f"{where}: the integer {value} is too large")
    return value


def encode_size(terms: Terms) -> Any:
    """{"dim": name} for a dim, else {"sum": [[n, factor, ...], ...]} of products."""
    match terms:
        case (((Dim(name),), 1),):
            return {"dim": name}
    return {"sum": [[n, *map(_encode_factor, monomial)] for monomial, n in terms]}


def _encode_factor(factor: Factor) -> Any:
    match factor:
        case Dim(name):
            return {"dim": name}
        case Quotient(terms, by):
            return {"floor": [encode_size(terms), by]}
    return {factor.kind: [encode_size(factor.a), encode_size(factor.b)]}


def _size(value: dict[str, Any], sizes: Mapping[str, Size], where: str, depth: int = 0) -> int:
    """The inverse of `encode_size`; that a file has the canonical form is found out by writing it again."""
    if depth > MAX_DEPTH or len(value) != 1:
        raise NdFormatError(f"{where}: unknown size {value!r:.200}")
    match value:
        case {"dim": str(name)} if name in sizes:
            return sizes[name]
        case {"sum": list(parts)} if 1 <= len(parts) <= MAX_TERMS:
            return sum((_product(part, sizes, where, depth + 1) for part in parts), 0)
        case {"floor": [inner, int(by)]} if by > 1:
            return _size(_object(inner, where), sizes, where, depth + 1) // by
        case {"min": [a, b]} | {"max": [a, b]}:
            pick = smaller if "min" in value else larger
            return pick(*(_size(_object(x, where), sizes, where, depth + 1) for x in (a, b)))
    raise NdFormatError(f"{where}: unknown size {value!r:.200}")


def _product(part: Any, sizes: Mapping[str, Size], where: str, depth: int) -> int:
    match part:
        case [int(n), *factors] if n and abs(n) <= MAX_INT and len(factors) <= MAX_DEPTH:
            return prod((_factor(x, sizes, where, depth) for x in factors), start=n)
    raise NdFormatError(f"{where}: a product is [number, factor, ...], got {part!r:.200}")


def _factor(value: Any, sizes: Mapping[str, Size], where: str, depth: int) -> int:
    """A dim, a quotient or an extreme; products of sums, which may be huge, are no canonical form."""
    factor = _size(_object(value, where), sizes, where, depth)
    if "sum" in value or not isinstance(factor, Size) or len(factor.terms) != 1:
        raise NdFormatError(f"{where}: needs a dim, a quotient or an extreme as a factor, got {value!r:.200}")
    return factor


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise NdFormatError(f"{where}: needs a size, got {value!r:.200}")
    return value


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


def decode_op(cls: type, attributes: Any, sizes: Mapping[str, Size], where: str) -> Any:
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
            raise NdFormatError(f"{where}.{name}: needs {hints[name]}, got {value!r:.200}")
    try:
        return cls(**values)
    except (ValueError, TypeError) as error:
        raise NdFormatError(f"{where}: {error}") from error
