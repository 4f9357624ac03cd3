"""How objects show themselves: settings, sizes and counts in text that people read.

Nothing is computed for it, nothing fails on an object whose `__init__` has not ended, and no memory address is shown.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from math import prod
from pathlib import PurePath
from typing import Any

import numpy

from .types import FLOATS

DEFAULT_DTYPES = {"nd": ("float32",), "np": ("bool", "int64", "float64")}  # what Tensor(list) has
LONGEST = 200  # characters of one setting
# Where the classes live whose objects are settings of others: devices and transforms.
SETTINGS = ("needle.backend_ndarray.devices", "needle.numpy_device", "needle.data.transforms")


def count(number: int, what: str, many: str = "") -> str:
    """`1 sample`, `60,000 samples`; `many` is the plural where it is not `what` with an s."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {many or what + 's'}"


def plain(value: object) -> str | None:
    """A setting as Python would have it typed; None for what has no short text."""
    if isinstance(value, numpy.generic):
        value = value.item()
    if isinstance(value, PurePath):
        value = str(value)
    if isinstance(value, float):
        text = repr(value) if len(repr(value)) <= 8 else f"{value:.6g}"
    elif value is None or isinstance(value, bool | int | str):
        text = repr(value)
    elif isinstance(value, tuple | list):
        parts = [plain(item) for item in value[:10]]
        if len(parts) < len(value) or None in parts:
            return None
        text = ("({},)" if len(parts) == 1 else "({})") if isinstance(value, tuple) else "[{}]"
        text = text.format(", ".join(map(str, parts)))
    elif type(value).__module__.startswith(SETTINGS):
        text = repr(value)
    else:
        return None
    return text if len(text) <= LONGEST and "\n" not in text else None


@lru_cache(maxsize=256)
def _parameters(kind: type) -> tuple[inspect.Parameter, ...]:
    """What the constructor of a class takes by name."""
    try:
        known = inspect.signature(kind).parameters.values()
    except (TypeError, ValueError):
        return ()
    return tuple(p for p in known if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD))


def settings(thing: object, every: bool = False) -> list[str]:
    """`name=value` of what the constructor of `thing` takes and keeps under the same name.

    Those that are as by default are left out, but for numbers such as eps and momentum, unless `every` is wanted. A
    flag that decides whether there is a tensor is true where there is one.
    """
    held, found = getattr(thing, "__dict__", {}), []
    for parameter in _parameters(type(thing)):  # type: ignore[arg-type]
        if parameter.name not in held:
            continue
        value, default = held[parameter.name], parameter.default
        if isinstance(default, bool) and (value is None or hasattr(value, "cached_data")):
            value = value is not None
        text, usual = plain(value), default is not parameter.empty and plain(value) == plain(default)
        shown = (not usual or every or (isinstance(value, float) and value != 0)) and value is not None
        if text is not None and shown:
            found.append(f"{parameter.name}={text}")
    return found


def call(thing: object, parts: Iterable[str], note: str = "") -> str:
    """`Name(part, part)  # note`."""
    return f"{type(thing).__name__}({', '.join(parts)})" + (f"  # {note}" if note else "")


def length(thing: Any) -> int | None:
    """len(thing), where it has one by now."""
    try:
        return len(thing)
    except Exception:  # of a subclass, whose __init__ has perhaps not ended
        return None


def fields(held: Mapping[str, Any], samples: int | None) -> list[str]:
    """`X: float32 (3, 32, 32)`: dtype and shape of a sample, for each array that holds one for each of `samples`."""
    from .backend_ndarray import NDArray  # which shows itself by this module

    found = []
    for key, value in held.items():
        several = isinstance(value, tuple | list) and len(value) <= 10
        for name, item in [(f"{key}[{i}]", x) for i, x in enumerate(value)] if several else [(key, value)]:
            array = getattr(item, "cached_data", None) if hasattr(item, "cached_data") else item
            if isinstance(array, numpy.ndarray | NDArray) and array.shape and array.shape[0] == samples:
                found.append(f"{name}: {array.dtype} {tuple(map(int, array.shape[1:]))}")
    return found


def elements(tensor: object) -> int:
    """The number of elements of a tensor, as far as it is known: 0 for one that was not computed yet."""
    data = getattr(tensor, "cached_data", None)
    shape = getattr(getattr(tensor, "_type", None) if data is None else data, "shape", None)
    return 0 if shape is None else prod(shape)


def tensors(found: Iterable[object], what: str = "parameter") -> str:
    """`6 tensors, 79,510 parameters`."""
    found = list(found)
    return f"{count(len(found), 'tensor')}, {count(sum(map(elements, found)), what)}"


def array_text(values: numpy.ndarray, name: str, notes: Sequence[str] = ()) -> str:
    """`name([[1. 2.]`, with the rows below one another, in the middle left out where there are many, and the notes.

    The shape is among them where the numbers do not show it.
    """
    prefix, options = f"{name}(", numpy.get_printoptions()
    text = numpy.array2string(values, prefix=prefix) if values.ndim else str(values)
    if values.size > options["threshold"] or (values.size == 0 and values.shape != (0,)):
        notes = [f"shape={tuple(map(int, values.shape))}", *notes]
    rest = "".join(f", {note}" for note in notes) + ")"
    width = len(prefix) + len(text) if "\n" not in text else len(text) - text.rindex("\n")
    if notes and width + len(rest) > options["linewidth"] + 1:
        rest = ",\n" + " " * len(prefix) + rest[2:]
    return f"{prefix}{text}{rest}"


def seen(data: Any) -> numpy.ndarray:
    """An array of either kind as numpy sees it, in the same memory unless a device holds it."""
    return data.seen() if hasattr(data, "seen") else numpy.asarray(data)


def _dtype_note(data: Any) -> list[str]:
    """The dtype, where it is another than that of Tensor(list)."""
    from .backend_selection import BACKEND  # whose arrays show themselves by this module

    return [] if str(data.dtype) in DEFAULT_DTYPES[BACKEND] else [f"dtype={data.dtype}"]


def tensor_text(tensor: Any, name: str) -> str:
    """A tensor with what it is beyond `Tensor(list)`: dtype, device and whether it requires a gradient."""
    from .backend_selection import BACKEND, default_device

    data, known = getattr(tensor, "cached_data", None), getattr(tensor, "_type", None)
    if data is None:
        notes = [] if known is None else [f"shape={tuple(known.shape)}", f"dtype={known.dtype}"]
        return f"{name}({', '.join(['<no data yet>', *notes])})"
    dtype, notes = str(data.dtype), _dtype_note(data)
    if BACKEND == "nd" and data.device != default_device():
        notes.append(f"device={data.device}")
    if not tensor.requires_grad and dtype in FLOATS:
        notes.append("requires_grad=False")
    return array_text(seen(data), name, notes)


def tuple_text(value: Any, name: str) -> str:
    """A TensorTuple with its tensors below one another, in the middle left out where there are many."""
    data = getattr(value, "cached_data", None)
    if data is None and type(getattr(value, "op", None)).__name__ == "MakeTensorTuple":
        items = [tensor_text(x, "  needle.Tensor") for x in value.inputs]
    elif data is None:
        return f"{name}(<no data yet>)"
    else:
        items = [array_text(seen(x), "  needle.Tensor", _dtype_note(x)) for x in data]
    return "\n".join([f"{name}(", *shortened([f"{item}," for item in items], 10, "  ..."), ")"])


def shortened(lines: Sequence[Any], most: int, gap: Any) -> list[Any]:
    """The lines, of which no more than about `most` stay: the first and the last, and `gap` in between."""
    return list(lines) if len(lines) <= most else [*lines[: most // 2], gap, *lines[-(most // 2) :]]


def table(rows: Sequence[Sequence[str]], left: int = 0) -> list[str]:
    """The rows as lines of aligned cells: the first `left` columns to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = [str.ljust if i < left else str.rjust for i in range(len(widths))]
    return ["  ".join(map(lambda side, *cell: side(*cell), sides, row, widths)).rstrip() for row in rows]
