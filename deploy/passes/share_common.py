"""Compute once what is written twice."""

from __future__ import annotations

from collections.abc import Hashable

from ..attributes import encode_op
from ..ir import Constant, Graph, Input, Node, Weight
from .rewrite import Watch


def share_common(graph: Graph, watch: Watch | None = None) -> Graph:
    """f(x) ... f(x)  =>  one node, read twice; equal constants and the same weights likewise"""
    first: dict[Hashable, Node] = {}
    new: dict[Node, Node] = {}
    for node in graph.order():
        inputs = tuple(new[x] for x in node.inputs)
        here = node if inputs == node.inputs else Node(node.op, inputs, node.type)
        new[node] = first.setdefault(_key(here), here)
    shared = graph.of(new)
    if watch is not None:
        watch("share_common", graph, new, shared)
    return shared


def _key(node: Node) -> Hashable:
    """Equal for nodes that compute the same; named dims differ from equal numbers."""
    match node.op:
        case Input():
            return node
        case Weight(_, name):
            return ("weight", name)
        case Constant(array):
            return (array.shape, str(array.dtype), array.tobytes())
        case op:
            return (type(op), repr(encode_op(op)), node.inputs)
