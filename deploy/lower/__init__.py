"""From a graph to a program: a list of kernel calls, each value in a buffer; table.py says which call an op is."""

from __future__ import annotations

from dataclasses import replace

from needle import ops
from needle.errors import ShapeError
from needle.size_terms import bounds
from needle.sizes import for_every_size, terms_of, watched
from needle.types import TYPES

from ..errors import EmitError
from ..ir import Graph, Input, Node, parts
from ..program import Buffer, Program, floats_of, whole
from ..verify_program import verify_program
from .lowering import Expanded, Lowering, Refused, Value
from .table import ANY_DTYPE, CALLS

__all__ = ["CALLS", "HELD", "Expanded", "Refused", "lower"]

HELD = frozenset(TYPES)


def lower(graph: Graph, favoured: int = 1, device: str = "cpu") -> Program:
    """The kernel calls that compute the graph, chosen to be fast for batches of `favoured` rows on "cpu" or "cuda".

    Raises EmitError naming the node for what cannot be a program.
    """
    with watched(for_every_size):
        return _lower(graph, favoured, device)


def _lower(graph: Graph, favoured: int, device: str) -> Program:
    _check_dtypes(graph)
    types = {x.op.name: x.type for x in graph.inputs}
    low = Lowering(graph, favoured, device, uses_left=dict(graph.uses()))
    kept = {
        name: Buffer("state", floats_of(types[name]), types[name].dtype, index=i)
        for i, (name, _) in enumerate(graph.state)
    }
    for i, node in enumerate(graph.given):
        low.views[node] = whole(Buffer("input", dtype=node.type.dtype, index=i), node.type)
    for node in graph.inputs:
        if node.op.name in kept:
            low.views[node] = whole(kept[node.op.name], node.type)
            low.held[kept[node.op.name]].add(node)
    outputs = [Buffer("output", dtype=x.type.dtype, index=i) for i, (_, x) in enumerate(graph.results)]
    for output, (_, node) in zip(outputs, graph.results, strict=True):
        _aim(low, node, output)
    for node in graph.order():
        if node.known or isinstance(node.op, Input):
            continue
        for x in node.inputs:
            low.uses_left[x] -= 1
        low.node = node
        low.views[node] = _value(low, node)
        for part in low.parts(node):
            low.held[part.buffer].add(node)
    low.node = None
    for output, (_, node) in zip(outputs, graph.results, strict=True):
        view = low.view(node)
        if view.buffer is not output:
            low.copy(whole(output, node.type), view)
    _update(low, graph, kept)
    return verify_program(low.program())


def _value(low: Lowering, node: Node) -> Value:
    """Add the calls that compute one node."""
    row = CALLS.get(type(node.op), Refused("no kernel is known for it"))
    if isinstance(row, Refused):
        raise EmitError(f"[emit] {node!r}: {row.reason}")
    if any(is_empty(n) for x in (node, *node.inputs) for part in parts(x.type) for n in part.shape):
        raise EmitError(f"[emit] {node!r}: programs need sizes of 1 or more, whatever the open ones are")
    dtypes = {part.dtype for x in (node, *node.inputs) for part in parts(x.type)}
    if not dtypes <= HELD:
        raise EmitError(f"[emit] {node!r}: programs hold {', '.join(sorted(HELD))}, not {min(dtypes - HELD)}: cast it")
    if dtypes != {"float32"} and not isinstance(node.op, ANY_DTYPE):
        other = min(dtypes - {"float32"})
        raise EmitError(f"[emit] {node!r}: programs compute this op in float32, not in {other}: cast it")
    try:
        value: Value = row(low, node)
    except ShapeError as error:
        raise EmitError(f"[emit] {node!r}: {error}") from error
    return value


def is_empty(size: int) -> bool:
    """Whether a size may be 0."""
    return (bounds(terms_of(size))[0] or 0) < 1


def _check_dtypes(graph: Graph) -> None:
    """EmitError for a value of another dtype than programs hold; what makes weights of weights is none of a program."""
    read = {x for node in graph.order() if not node.known for x in node.inputs}
    results = {node for _, node in graph.outputs}
    for node in (*graph.inputs, *graph.order()):
        if node.known and node not in read and node not in results:
            continue
        for part in parts(node.type):
            if part.dtype not in HELD:
                raise EmitError(f"[emit] {node!r}: programs hold {', '.join(sorted(HELD))}, not {part.dtype}: cast it")


def _update(low: Lowering, graph: Graph, kept: dict[str, Buffer]) -> None:
    """Write the state last, when nobody reads its old value any more; what lies in another state is copied before.

    What was computed in place is there.
    """
    after = dict(graph.outputs)
    pairs = [(kept[name], low.view(after[output])) for name, output in graph.state]
    moved = [(state, x) for state, x in pairs if replace(x, version=0) != whole(state, x.type)]
    new = [(state, low.copied(x) if x.buffer.kind == "state" else x) for state, x in moved]
    for state, view in new:
        low.copy(replace(whole(state, view.type), version=low.written(state) + 1), view)


def _aim(low: Lowering, node: Node, output: Buffer) -> None:
    """Let the op that makes an output write there; through reshapes, which move nothing."""
    while isinstance(node.op, ops.Reshape) and low.uses_left[node] == 1 and low.uses_left[node.inputs[0]] == 1:
        node = node.inputs[0]
    low.targets.setdefault(node, output)
