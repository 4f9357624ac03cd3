"""Samples of every op: one list that drives the tests of values, types, gradients and second gradients.

The files of `tests/families` hold, for the ops of one family,

- `CASES`: samples, an op and its inputs as float64 arrays;
- `MEANING[op class](op, *arrays)`: the value in plain numpy, loops and textbook formulas, written apart from the op;
- `TORCH[op class](op, *tensors)`: the same in PyTorch, where it has a counterpart;
- `REFUSALS`: shapes that must be refused, and what the message says.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from tests import families
from tests.case import Case, Refusal

CASES: list[Case] = []
MEANING: dict[type, Callable[..., Any]] = {}
TORCH: dict[type, Callable[..., Any]] = {}
REFUSALS: list[Refusal] = []

for _found in iter_modules(families.__path__):
    _family = import_module(f"tests.families.{_found.name}")
    CASES += _family.CASES
    REFUSALS += getattr(_family, "REFUSALS", [])
    for _table, _rows in ((MEANING, _family.MEANING), (TORCH, getattr(_family, "TORCH", {}))):
        if twice := _table.keys() & _rows.keys():
            raise ValueError(f"{_found.name} repeats the ops {twice} of another family")
        _table.update(_rows)


def meaning(case: Case, *inputs: Any) -> Any:
    """The value, by the definition, of a case's op for these inputs."""
    return MEANING[type(case.op)](case.op, *inputs)
