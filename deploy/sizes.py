"""Whether what was recorded at one size of the batch is the graph for every size.

A graph is recorded at several sizes, and the recordings compared. Which sizes: the smallest ones, where code often has
a case of its own, and both sides of every number with which the module's own code compares the size of the batch.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy

from needle.types import Dim

from .errors import FreezeError
from .ir import STAND_INS, Constant, Graph, Weight, describe, dim_key, same_type

SMALLEST = (1, 2)  # one image, which code may take for none; an even number beside the odd ones
MOST, LARGEST = 32, 2**20  # traces, and the size of the batch at them

Thresholds = dict[int, str]  # what the size of the batch is compared with, and the line that compares


@contextmanager
def watched_sizes() -> Iterator[Thresholds]:
    """What code outside needle compares the size of the batch with, inside the block."""
    thresholds: Thresholds = {}

    def watch(dim: Dim, other: object) -> None:
        caller = sys._getframe(2)
        name = str(caller.f_globals.get("__name__", ""))
        if isinstance(other, int) and not isinstance(other, Dim) and not name.startswith("needle."):
            thresholds.setdefault(other // dim.scale, f"{caller.f_code.co_filename}:{caller.f_lineno}")

    Dim.watch = watch
    try:
        yield thresholds
    finally:
        Dim.watch = None


def sizes_to_trace(thresholds: Thresholds) -> Iterator[int]:
    """The sizes beside the first stand-in at which to trace; traces that have been made may add to `thresholds`."""
    seen, waiting, traces = {STAND_INS[0]}, [*STAND_INS[1:], *SMALLEST], 0
    while waiting and traces < MOST:
        size = waiting.pop(0)
        if size not in seen and 1 <= size <= LARGEST:
            traces += 1
            yield size
        seen.add(size)
        beside = {n for threshold in thresholds for n in (threshold - 1, threshold, threshold + 1)}
        waiting += sorted(beside - seen - set(waiting))


def comparison_near(thresholds: Mapping[int, str], size: int) -> str:
    """The line that compares the size of the batch with a number next to this one, for the end of a message."""
    near = sorted((abs(number - size), line) for number, line in thresholds.items() if abs(number - size) <= 1)
    return f"; it is compared at {near[0][1]}" if near else ""


def compare(first: Graph, second: Graph) -> None:
    """Raises FreezeError, naming the first node that differs, unless both traces are one graph."""
    ours, theirs = first.order(), second.order()
    index = {node: i for i, node in enumerate(ours)}
    other = {node: i for i, node in enumerate(theirs)}
    for a, b in zip(ours, theirs, strict=False):
        same_inputs = [index[x] for x in a.inputs] == [other[x] for x in b.inputs]
        if not (same_inputs and same_type(a.type, b.type) and _same_op(a.op, b.op)):
            raise FreezeError(
                f"[freeze] the graph depends on the batch size, which must stay symbolic: at sizes {_size(first)} and "
                f"{_size(second)} the same step is {a!r} and {b!r}; use x.shape[0] in shapes, or freeze with batch=None"
            )
    if len(ours) != len(theirs) or [name for name, _ in first.outputs] != [name for name, _ in second.outputs]:
        raise FreezeError(
            f"[freeze] the graph depends on the batch size, which must stay symbolic: at sizes {_size(first)} and "
            f"{_size(second)} it has {len(ours)} steps and {len(theirs)}; freeze with batch=None, or compute alike"
        )
    for name, node in first.outputs:
        if not any(hasattr(size, "name") for size in node.shape):
            raise FreezeError(f"[freeze] output '{name}', {describe(node.type)}, does not depend on the batch")


def _size(graph: Graph) -> int:
    """The size of the batch at which a graph was recorded."""
    return next(int(size) // size.scale for x in graph.inputs for size in x.shape if isinstance(size, Dim))


def _same_op(a: Any, b: Any) -> bool:
    """The same op with the same attributes, where a named dim equals only itself."""
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
        return type(a) is type(b) and dim_key(a) == dim_key(b)
    return a == b
