"""Reading JSON that may be hostile: exact fields, bounded lists, nothing twice; errors name the place."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from .errors import NdFormatError

MAX_JSON = 2**24


def refuse(message: str) -> NoReturn:
    raise NdFormatError(f"[nd] {message}")


def parse(member: str, data: bytes | memoryview) -> Any:
    """Strict JSON: an object, no name twice, no NaN or infinity, of bounded size and depth."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            refuse(f"{member}: a name is given twice in one object")
        return found

    def no_constant(text: str) -> NoReturn:
        refuse(f"{member}: {text} is not allowed")

    if len(data) > MAX_JSON:
        refuse(f"{member}: {len(data)} bytes are more than {MAX_JSON}")
    try:
        value = json.loads(bytes(data).decode("utf-8"), object_pairs_hook=unique, parse_constant=no_constant)
    except (ValueError, RecursionError) as error:
        raise NdFormatError(f"[nd] {member}: not JSON: {error}") from None
    if not isinstance(value, dict):
        refuse(f"{member}: needs a JSON object")
    return value


def fields(where: str, value: Any, names: set[str]) -> None:
    """An object with exactly these fields."""
    if not isinstance(value, dict) or set(value) != names:
        given = sorted(value) if isinstance(value, dict) else type(value).__name__
        refuse(f"{where}: needs exactly the fields {sorted(names)}, got {given}")


def items(where: str, value: Any, limit: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > limit:
        refuse(f"{where}: needs a list of at most {limit} items")
    return value


def earlier(where: str, value: Any, limit: int) -> int:
    """The index of an earlier node."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < limit:
        refuse(f"{where}: needs the index of one of the {limit} nodes before it, got {value!r}")
    return value
