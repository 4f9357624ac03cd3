"""A module as text: a tree of its layers with their settings and the number of their parameters."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from ..reprs import count, elements
from .module import Module, Parameter

INDENT = "  "


def tree(module: Any) -> str:
    """One line for each layer; neighbours that read the same share one. Parameters that are shared count once."""
    return "\n".join(_lines(module, ()))


def _lines(module: Any, outer: tuple[Any, ...]) -> list[str]:
    name = type(module).__name__
    if any(module is each for each in outer):
        return [f"{name}(...)"]
    size = sum(map(elements, {id(p): p for p in _parameters(vars(module), (module,))}.values()))
    note = f"  # {count(size, 'parameter')}" if size else ""
    try:
        said = str(module.extra_repr())
    except Exception:  # of a subclass, whose __init__ has perhaps not ended
        said = ""
    inside = list(_inside(vars(module)))
    if not inside:
        return [f"{name}({said}){note}"]
    lines = [f"{name}({note}", *([INDENT + said] if said else [])]
    shown = [(key, _lines(item, (*outer, module)) if _is_module(item) else [_name(item)]) for key, item in inside]
    for (_, (head, *rest)), group in groupby(shown, key=lambda child: (_numbered(child[0]), child[1])):
        keys = [key for key, _ in group]
        many = f"{keys[0]}-{keys[-1].rpartition('.')[2]}" if len(keys) > 1 else keys[0]
        lines.append(f"{INDENT}({many}): " + (f"{len(keys)} x {head}" if len(keys) > 1 else head))
        lines += [INDENT + line for line in rest]
    return [*lines, ")"]


def _inside(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(name, module) of the modules that a module holds itself, and of functions that take their place in a list."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        name = f"{prefix}.{key}" if prefix else str(key)
        if _is_module(item) or (prefix and callable(item)):
            yield name.removeprefix("modules."), item
        elif isinstance(item, dict | list | tuple):
            yield from _inside(item, name)


def _parameters(value: Any, outer: tuple[Any, ...]) -> Iterator[Any]:
    """The parameters in a value, as `Module.parameters` finds them, where a module may even hold itself."""
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, Parameter):
            yield item
        elif isinstance(item, dict | list | tuple):
            yield from _parameters(item, outer)
        elif _is_module(item) and not any(item is each for each in outer):
            yield from _parameters(vars(item), (*outer, item))


def _numbered(key: str) -> str:
    """What neighbours in one list have in common: the key without its number."""
    start, _, number = key.rpartition(".")
    return start if number.isdigit() else key


def _is_module(value: object) -> bool:
    return isinstance(value, Module)


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))
