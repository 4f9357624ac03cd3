"""The nodes of a graph that are worth drawing. What follows from weights alone is shown at the node that reads it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from needle import ops
from needle.ops.pointwise import Pointwise

from ..ir import Constant, Graph, Input, Node, Weight, describe, parts

# What an op is, by the file that it is in; any other is pointwise.
KINDS = {
    "product": (
        "ops_conv", "ops_conv_nd", "ops_matmul", "ops_sequence", "ops_recurrent", "fused_ops",
        "quantized_ops",
    ),
    "norm": ("ops_norm", "ops_group_norm", "ops_logarithmic"),
    "layout": (
        "ops_reshape", "ops_broadcast", "ops_stack", "ops_flip", "ops_getitem", "ops_gather", "ops_pad", "ops_tuple",
    ),
    "reduce": ("ops_pool", "ops_reduce", "ops_order", "ops_upsample"),
    "state": ("ops_cache",),
}  # fmt: skip
NAMES = {"EWiseAdd": "Add", "EWiseMul": "Multiply", "EWiseDiv": "Divide", "EWisePow": "Power", "Summation": "Sum"}
SHOWN = 60  # characters of an op's settings


class Drawn:
    """The drawn nodes of a graph, in order; `index` finds the one that shows the value of any node, where there is."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        quiet: set[Node] = set()
        for node in graph.order():
            if not isinstance(node.op, Input) and all(x in quiet for x in node.inputs):
                quiet.add(node)
        results = {node for _, node in graph.outputs}
        self.nodes = [
            node
            for node in dict.fromkeys((*graph.inputs, *graph.order()))
            if node in results or not (node in quiet or isinstance(node.op, ops.TupleGetItem))
        ]
        self.index = {node: i for i, node in enumerate(self.nodes)}
        for node in graph.order():
            if isinstance(node.op, ops.TupleGetItem) and node not in self.index and node.inputs[0] in self.index:
                self.index[node] = self.index[node.inputs[0]]

    def facts(self) -> list[dict[str, Any]]:
        """A node each: what it is, its settings, its type, the drawn nodes and the weights that it reads."""
        kept = {name for pair in self.graph.state for name in pair}
        outputs: dict[Node, list[str]] = {}
        for name, node in self.graph.outputs:
            outputs.setdefault(node, []).append(name)
        return [self._node(node, outputs.get(node, []), kept) for node in self.nodes]

    def _node(self, node: Node, outputs: list[str], kept: set[str]) -> dict[str, Any]:
        reads = [x for x in node.inputs if x in self.index]
        return {
            "title": title(node),
            "kind": kind(node, kept),
            "settings": settings(node.op),
            "type": [describe(part) for part in parts(node.type)],
            "reads": list(dict.fromkeys(self.index[x] for x in reads)),
            "weights": [y for x in node.inputs if x not in self.index for y in weights_in(x)],
            "outputs": [f"{name} (state)" if name in kept else name for name in outputs],
        }


def title(node: Node) -> str:
    """The op, with the steps of its epilogue."""
    if isinstance(node.op, Input):
        return node.op.name
    name = NAMES.get(type(node.op).__name__, type(node.op).__name__).removeprefix("Fused")
    return " + ".join([name, *getattr(node.op, "epilogue", ())])


def kind(node: Node, kept: set[str]) -> str:
    """What sort of node it is: of those in KINDS, or an input, or pointwise."""
    if isinstance(node.op, Input):
        return "state" if node.op.name in kept else "input"
    home = type(node.op).__module__.rpartition(".")[2]
    if isinstance(node.op, Pointwise):
        return "pointwise"
    return next((name for name, homes in KINDS.items() if home in homes), "pointwise")


def settings(op: Any) -> str:
    """What is special about an op: `stride 2, padding 1`."""
    if isinstance(op, Input | Weight | Constant):
        return ""
    said = []
    for field in dataclasses.fields(op):
        value = getattr(op, field.name)
        if field.name in ("epilogue", "shape") or value is None or value is False or value == field.default:
            continue
        said.append(field.name if value is True else f"{field.name} {value}")
    text = ", ".join(said)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def weights_in(node: Node) -> Iterator[str]:
    """The weights that a value is made of, with its type: `conv1.weight: float32(3, 3, 3, 64)`."""
    found, stack, seen = [], [node], {node}
    while stack:
        x = stack.pop()
        if isinstance(x.op, Weight):
            found.append(x.op.name)
        fresh = [y for y in reversed(x.inputs) if y not in seen]
        stack += fresh
        seen.update(fresh)
    yield f"{', '.join(found) or 'constant'}: {describe(node.type)}"
