"""Where the nodes of an optimised graph come from: told of every change, it keeps what each node stands for."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from needle import ops

from ..ir import Graph, Node

Ordered = dict[str, None]  # a set that keeps its order
MOVES = ops.Reshape | ops.Permute | ops.Transpose  # what passes put around what they make


class History:
    """A `Watch` of the passes. A node that disappears goes on in those that read it: a bias lives on in a product."""

    def __init__(self, graph: Graph) -> None:
        self.origins: dict[Node, frozenset[Node]] = {node: frozenset([node]) for node in graph.order()}
        self.passes: dict[Node, Ordered] = defaultdict(dict)  # in the order in which they had a hand in it
        self.applied: Counter[str] = Counter()  # how many nodes each pass replaced

    def __call__(self, rule: str, before: Graph, new: Mapping[Node, Node], after: Graph) -> None:
        heirs = _heirs(before, new, after)
        origins: dict[Node, set[Node]] = defaultdict(set)
        passes: dict[Node, Ordered] = defaultdict(dict)
        for node in before.order():
            changed = _is_replaced(node, new)
            self.applied[rule] += changed
            for heir in heirs[node]:
                origins[heir] |= self.origins.get(node, frozenset())
                passes[heir] |= self.passes[node] | ({rule: None} if changed else {})
        made = {heir for several in heirs.values() for heir in several}
        for node in after.order():
            if node not in made and not node.known:  # beside what the pass was about
                passes[node] = {rule: None}
        self.origins = {node: frozenset(found) for node, found in origins.items()}
        self.passes = passes


def _heirs(before: Graph, new: Mapping[Node, Node], after: Graph) -> dict[Node, list[Node]]:
    """The nodes of the graph after that each node of the graph before goes on in."""
    alive, users = set(after.order()), defaultdict[Node, list[Node]](list)
    homes: dict[Node, Node] = {}
    older = set(before.order())
    for node in before.order():
        for x in node.inputs:
            users[x].append(node)
        homes[node] = _inside(new[node], node, older)
        older.add(new[node])
    found: dict[Node, list[Node]] = {}
    for node in reversed(before.order()):
        home = homes[node]
        found[node] = [home] if home in alive else _once(heir for user in users[node] for heir in found[user])
    return found


def _inside(made: Node, node: Node, older: set[Node]) -> Node:
    """What a rule made in the place of a node, without the moves that it put around it."""
    while made not in older and isinstance(made.op, MOVES) and not isinstance(node.op, MOVES):
        made = made.inputs[0]
    return made


def _once(nodes: Iterable[Node]) -> list[Node]:
    return list(dict.fromkeys(nodes))


def _is_replaced(node: Node, new: Mapping[Node, Node]) -> bool:
    """Whether a rule put something else in its place, and not only its inputs changed."""
    into = new[node]
    return into.op is not node.op or into.inputs != tuple(new[x] for x in node.inputs)
