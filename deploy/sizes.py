"""Whether what was recorded at stand-ins for the named dims is the graph for every size.

Sizes trace as expressions. A question about a size that the dims' bounds do not decide has an answer only for the
stand-in, so the code that asks is refused by its line. Tracing again at other stand-ins is a test of what cannot be
asked in Python: a size that reached C code, such as the length of a range or of an array.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy

from needle.sizes import Size, dim, watched

from .errors import FreezeError
from .ir import Constant, Graph, Weight, describe, dim_key, dims, named_sizes, same_type

STAND_INS = (7, 11, 1, 2)  # for the first dim; the smallest ones, where code often has a case of its own, among them
APART = 6  # between the stand-ins of two dims, so that no two sizes agree by accident
OURS = ("needle", "deploy")


def stand_ins(named: Mapping[str, tuple[int, int | None]], trace: int) -> dict[str, Size]:
    """The dims with their bounds, each with its stand-in for the trace of this number."""
    found = {}
    for i, (name, (low, high)) in enumerate(named.items()):
        wanted = max(low, STAND_INS[trace] + (APART * i if trace < 2 else 0))
        found[name] = dim(name, wanted if high is None else min(wanted, high), low, high)
    return found


@contextmanager
def questions_refused() -> Iterator[None]:
    """Inside the block, FreezeError for code outside this project that asks what the bounds of a size do not decide."""

    def refuse(what: str) -> None:
        caller = sys._getframe(2)
        while caller.f_globals.get("__name__") == "needle.sizes" and caller.f_back is not None:
            caller = caller.f_back
        if str(caller.f_globals.get("__name__", "")).split(".")[0] not in OURS:
            place = f"{caller.f_code.co_filename}:{caller.f_lineno}"
            raise FreezeError(
                f"[freeze] the answer to '{what}' depends on a size that stays open, asked at {place}: compute alike "
                "for all sizes, give bounds that decide it (dims=...), or freeze with batch=None"
            )

    with watched(refuse):
        yield


def compare(first: Graph, second: Graph) -> None:
    """Raises FreezeError, naming the first node that differs, unless both traces are one graph."""
    ours, theirs = first.order(), second.order()
    index = {node: i for i, node in enumerate(ours)}
    other = {node: i for i, node in enumerate(theirs)}
    for a, b in zip(ours, theirs, strict=False):
        same_inputs = [index[x] for x in a.inputs] == [other[x] for x in b.inputs]
        if not (same_inputs and same_type(a.type, b.type) and _same_op(a.op, b.op)):
            raise FreezeError(
                f"[freeze] the graph depends on {_names(first)}, which must stay open: at sizes {_sizes(first)} and "
                f"{_sizes(second)} the same step is {a!r} and {b!r}; use x.shape in shapes, or freeze with batch=None"
            )
    if len(ours) != len(theirs) or [name for name, _ in first.outputs] != [name for name, _ in second.outputs]:
        raise FreezeError(
            f"[freeze] the graph depends on {_names(first)}, which must stay open: at sizes {_sizes(first)} and "
            f"{_sizes(second)} it has {len(ours)} steps and {len(theirs)}; freeze with batch=None, or compute alike"
        )
    for name, node in first.results:  # a state may have a fixed size
        if not named_sizes(node.type):
            raise FreezeError(f"[freeze] output '{name}', {describe(node.type)}, does not depend on {_names(first)}")


def _names(graph: Graph) -> str:
    return " and ".join(f"the size '{name}'" for name in dims(graph))


def _sizes(graph: Graph) -> str:
    """The stand-ins at which a graph was recorded."""
    return ", ".join(str(x.standin) for x in dims(graph).values())


def _same_op(a: Any, b: Any) -> bool:
    """The same op with the same attributes, where a named size equals only itself."""
    if type(a) is not type(b):
        return False
    if isinstance(a, Weight):
        return bool(a.name == b.name)
    if isinstance(a, Constant):
        return numpy.array_equal(a.array, b.array, equal_nan=True)
    return all(_same_value(getattr(a, name), getattr(b, name)) for name in a.__dataclass_fields__)


def _same_value(a: object, b: object) -> bool:
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(_same_value, a, b))
    if isinstance(a, int) and isinstance(b, int):
        return type(a) is type(b) and bool(dim_key(a) == dim_key(b))
    return a == b

