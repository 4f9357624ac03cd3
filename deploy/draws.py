"""Graphs that draw random numbers: a state counts the calls, and what each draws is a function of that count."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from needle import ops
from needle.types import Type

from .ir import Graph, Input, Node, apply

COUNTER = Type((1,), "int64")
NAME = "draws"


def counter(taken: Collection[str]) -> Node:
    """The input that tells how many calls there were, under a name that no other has."""
    return Node(Input(_free(NAME, taken)), (), COUNTER)


def counted(graph: Graph, count: Node) -> Graph:
    """The graph with the counter as its state: 0 at first, and 1 more after each call."""
    after = _free(f"{count.op.name}_after", [name for name, _ in graph.outputs])
    return replace(
        graph,
        inputs=(*graph.inputs, count),
        outputs=(*graph.outputs, (after, apply(ops.AddScalar(1), count))),
        state=(*graph.state, (count.op.name, after)),
    )


def _free(name: str, taken: Collection[str]) -> str:
    """The name, with a number behind it if it is taken."""
    found, n = name, 0
    while found in taken:
        n += 1
        found = f"{name}_{n}"
    return found
