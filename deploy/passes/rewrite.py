"""How a pass is applied: bottom-up over the graph, again until nothing changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..errors import GraphError
from ..ir import Graph, Node, same_type


@dataclass(frozen=True)
class Kept:
    """Why a rule leaves a node that is of its kind as it is, as a sentence about the node goes on."""

    reason: str


Rule = Callable[[Node, Counter[Node]], Node | Kept | None]
# What is told of a change: the pass, the graph before, what became of each of its nodes, the graph after.
Watch = Callable[[str, Graph, Mapping[Node, Node], Graph], None]

MAX_SWEEPS = 200


def rewrite(graph: Graph, rule: Rule, watch: Watch | None = None) -> Graph:
    """The graph in which every node that `rule` replaces is replaced, until it replaces none.

    What is known, functions of weights alone, is computed once and stays as it is.
    `rule(node, uses)` returns an equal node, None where it has nothing to say, or why it leaves one of its kind as it
    is; `uses[x]` is how many nodes and outputs read x (of nodes that a sweep has just made, at most that). Raises
    GraphError if a replacement changes the type or the rule never ends.
    """
    for _ in range(MAX_SWEEPS):
        new, changed = _sweep(graph, rule)
        if not changed:
            return graph
        before, graph = graph, graph.of(new)
        if watch is not None:
            watch(rule.__name__, before, new, graph)
    raise GraphError(f"[rewrite] {getattr(rule, '__name__', rule)} did not end after {MAX_SWEEPS} sweeps")


def _sweep(graph: Graph, rule: Rule) -> tuple[dict[Node, Node], bool]:
    """What becomes of each node, inputs before users, and whether the rule replaced one."""
    uses = graph.uses()
    new: dict[Node, Node] = {}
    changed = False
    for node in graph.order():
        if node.known:
            new[node] = node
            continue
        inputs = tuple(new[x] for x in node.inputs)
        here = node if inputs == node.inputs else Node(node.op, inputs, node.type)
        uses[here] = max(uses[here], uses[node])
        found = rule(here, uses)
        if isinstance(found, Node):
            if not same_type(found.type, node.type):
                raise GraphError(f"[rewrite] {rule.__name__} replaced {node!r} by {found!r}, which differs in type")
            changed = True
            uses[found] = max(uses[found], uses[node])
        new[node] = found if isinstance(found, Node) else here
    return new, changed
