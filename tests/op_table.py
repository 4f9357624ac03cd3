"""The table of all ops in docs/ops.md, written from the ops themselves: `python -m tests.op_table`."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from deploy.lower import CALLS, Expanded, Refused
from needle import ops
from needle.errors import NeedleError
from needle.types import Type
from tests.cases import REFUSALS

PAGE = "docs/ops.md"
HEAD = """# The ops

Every op of needle, written by `python -m tests.op_table` from the classes in `needle/ops/`. An op is a frozen
dataclass: its fields are its attributes, `infer` gives the type of its result from the types of its inputs, `compute`
the value on arrays, `gradient` the adjoints of its inputs, in ops again; so every op can be differentiated as often as
needed. `tests/families/` holds samples of each; `tests/test_every_op.py` checks value, type, gradient, second gradient,
`tests/deploy/test_programs.py` the compiled program of the ops that have one. The others are refused with a reason.
"""
REFUSED = """## What they refuse

An op that is given inputs it has no meaning for raises one of the exceptions of `needle.errors`, before anything is
computed. Each line is a test.
"""


def markdown() -> str:
    """The whole page."""
    parts = [HEAD]
    for module in modules():
        parts.append(f"## {module.__name__}\n\n{(module.__doc__ or '').splitlines()[0]}\n")
        parts.append("| op | function | what it computes | compiled |\n|---|---|---|---|")
        parts.append("\n".join(rows(module)) + "\n")
    return "\n".join([*parts, REFUSED, *refusals(), ""])


def refusals() -> Iterator[str]:
    """A line for each kind of input that an op refuses, with what it says."""
    for op, shapes, _ in sorted(REFUSALS, key=lambda row: type(row[0]).__name__):
        nested = [isinstance(shape, tuple) and bool(shape) and isinstance(shape[0], tuple) for shape in shapes]
        types = [tuple(map(Type, x)) if deep else Type(x) for x, deep in zip(shapes, nested, strict=True)]
        try:
            op.infer(*types)
        except NeedleError as error:
            yield f"- `{op}` on {', '.join(map(str, shapes))}: `{type(error).__name__}: {error}`"


def modules() -> list[ModuleType]:
    """The modules that define ops, in the order of their names."""
    found = {name: module for name, module in vars(ops).items() if name.startswith("ops_")}
    return [found[name] for name in sorted(found)]


def rows(module: ModuleType) -> Iterator[str]:
    """A row for each op class of the module."""
    functions = {name: f for name, f in vars(module).items() if inspect.isfunction(f) and name in ops.__all__}
    for name, op in vars(module).items():
        if name in ops.__all__ and isinstance(op, type) and op.__module__ == module.__name__:
            fields = ", ".join(f.name for f in dataclasses.fields(op))  # type: ignore[arg-type]
            callers = [f for f, body in functions.items() if re.search(rf"\b{name}\(", inspect.getsource(body))]
            called = ", ".join(f"`{f}`" for f in callers if functions[f].__module__ == module.__name__)
            formula = (op.__doc__ or "").splitlines()[0].replace("|", "\\|")
            row = CALLS[op]
            compiled = f"no: {row.reason}" if isinstance(row, Refused) and not isinstance(row, Expanded) else "yes"
            yield f"| `{name}({fields})` | {called} | {formula} | {compiled} |"


if __name__ == "__main__":
    (Path(__file__).parent.parent / PAGE).write_text(markdown())
