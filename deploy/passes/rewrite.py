"""How a pass is applied: bottom-up over the graph, again until nothing changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ..errors import GraphError
from ..ir import Graph, Node, same_type

Rule = Callable[[Node, Counter[Node]], Node | None]

MAX_SWEEPS = 200


def rewrite(graph: Graph, rule: Rule) -> Graph:
    """The graph in which every node that `rule` replaces is replaced, until it replaces none.

    What is known, functions of weights alone, is computed once and stays as it is.
    `rule(node, uses)` returns an equal node, or None where it does not apply; `uses[x]` is how many nodes and outputs
    read x (of nodes that a sweep has just made, at most that). Raises GraphError if a replacement changes the type or
    the rule never ends.
    """
    for _ in range(MAX_SWEEPS):
        changed, graph = _sweep(graph, rule)
        if not changed:
            return graph
    raise GraphError(f"[rewrite] {getattr(rule, '__name__', rule)} did not end after {MAX_SWEEPS} sweeps")


def _sweep(graph: Graph, rule: Rule) -> tuple[bool, Graph]:
    """One pass over the nodes, inputs before users, rebuilding those whose inputs changed."""
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
        if found is not None:
            if not same_type(found.type, node.type):
                raise GraphError(f"[rewrite] {rule.__name__} replaced {node!r} by {found!r}, which differs in type")
            changed = True
            uses[found] = max(uses[found], uses[node])
        new[node] = here if found is None else found
    return changed, graph.of(new) if changed else graph
