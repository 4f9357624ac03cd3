"""Rows of JSON in a file, each checked: whatever is wrong is said with its line and how to mend it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from needle.errors import DataError

MAX_BYTES = 1 << 30
SHOWN = 5  # lines that a message names

T = TypeVar("T")


class RowError(DataError):
    """A row is not what it should be; the message says what it needs."""


def read_rows(path: Path, fields: tuple[str, ...], make: Callable[[dict[str, Any]], T]) -> list[T]:
    """`make(row)` of each line, a JSON object with exactly these fields; empty lines are passed over.

    Raises DataError that names the first lines that are wrong, what they need and how many more there are.
    """
    made: list[T] = []
    wrong: list[str] = []
    for place, line in enumerate(lines(path), 1):
        if not line.strip():
            continue
        try:
            made.append(make(_row(line, fields)))
        except DataError as error:
            wrong.append(f"line {place} {error}")
    if wrong:
        more = f"; and {len(wrong) - SHOWN} more lines" if len(wrong) > SHOWN else ""
        raise DataError(f"[finetune] {path}: {'; '.join(wrong[:SHOWN])}{more}")
    if not made:
        raise DataError(f"[finetune] {path} has no rows: each line is an object with {', '.join(fields)}")
    return made


def _row(line: str, fields: tuple[str, ...]) -> dict[str, Any]:
    wanted = "{" + ", ".join(f'"{name}": ...' for name in fields) + "}"
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise RowError(f"is not JSON ({error.msg}, column {error.colno}): write {wanted}") from None
    except (ValueError, RecursionError) as error:  # too many digits, or brackets
        raise RowError(f"cannot be read ({error}): write {wanted}") from None
    if not isinstance(row, dict) or set(row) != set(fields):
        got = f"the fields {', '.join(map(repr, row))}" if isinstance(row, dict) else f"a {type(row).__name__}"
        raise RowError(f"has {got:.200}: write {wanted}")
    return row


def text_of(row: dict[str, Any], name: str) -> str:
    """A field that is a string. Raises RowError."""
    value = row[name]
    if not isinstance(value, str):
        raise RowError(f"has in {name} no string but {value!r:.60}: put it in quotes")
    return value


def lines(path: Path) -> list[str]:
    """The lines of a text in UTF-8."""
    return read_text(path).split("\n")


def kind_of(path: Path) -> str:
    """What the path's name ends with, in lower case; "" of a folder. Raises DataError where there is nothing."""
    if not path.exists():
        raise DataError(f"[finetune] {path} cannot be read: No such file or directory")
    return "" if path.is_dir() else path.suffix.lower()


def read_text(path: Path) -> str:
    """A text in UTF-8, its line ends as "\\n". Raises DataError where it cannot be read."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"[finetune] {path} has more than {MAX_BYTES:,} bytes: take a part of it")
        data = path.read_bytes()
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        raise DataError(f"[finetune] {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"[finetune] {path} is not text in UTF-8: line {line}, byte {error.start}; save it as UTF-8"
        ) from None
