"""The rules every graph keeps; checked after every pass and after every load."""

from __future__ import annotations

import math
from typing import Any

from needle.errors import NeedleError
from needle.size_terms import bounds
from needle.sizes import Size, dims_of, for_every_size, is_dim, plain, terms_of, watched
from needle.types import DTYPES, TYPES, Type

from .errors import GraphError
from .ir import Constant, Graph, Input, Node, Weight, describe, parts, same_type
from .registry import OPS

MAX_ELEMENTS = 2**31  # of one value at batch size 7: larger is a mistake or an attack
MAX_RANK = 8
STORED = (  # dtypes that tensors of needle lack, of numpy, ml_dtypes and, as "object", strings
    *(name for name in TYPES if name not in DTYPES), "complex64", "complex128", "object", "float8_e8m0fnu",
)  # fmt: skip


def verify(graph: Graph, checked: set[Node] | None = None) -> Graph:
    """The same graph, which keeps every rule: acyclic, known ops, types as inferred, sane sizes, unique names.

    Nodes in `checked`, which never change, are not checked again; those of this graph join it. Raises GraphError naming
    the node and the rule. A rule must hold for every value of the named dims, not for their stand-ins.
    """
    with watched(for_every_size):
        return _verify(graph, set() if checked is None else checked)


def _verify(graph: Graph, checked: set[Node]) -> Graph:
    _check_names("inputs", [x.op.name for x in graph.inputs])
    _check_names("outputs", [name for name, _ in graph.outputs])
    _check_state(graph)
    if not graph.outputs:
        raise GraphError("[verify] a graph needs at least one output")
    _check_weights(graph)
    read = {str(n) for x in graph.given for n in x.shape if isinstance(n, Size) and is_dim(n)}
    for node in graph.order():
        read |= set(counts(node.op))
        if node not in checked:
            _check_node(node, graph)
            _check_dims(node, read)
            checked.add(node)
    for name, node in graph.outputs:
        if not isinstance(node.type, Type):
            raise GraphError(f"[verify] output '{name}' must be one tensor, got {node!r}")
    return graph


def counts(op: Any) -> tuple[str, ...]:
    """The names of the sizes that an op's result has by its data: how many elements it found."""
    fields = [getattr(op, name, None) for name in ("count", "rows", "columns", "chosen")]
    names = [name for field in fields for name in (field if isinstance(field, tuple) else (field,))]
    return tuple(name for name in names if isinstance(name, str) and name)


def _check_names(what: str, names: list[str]) -> None:
    """Names are what callers and C++ use: identifiers, each once."""
    for name in names:
        if not (isinstance(name, str) and name.isidentifier() and name.isascii() and len(name) <= 64):
            raise GraphError(f"[verify] {what}: a name must be an ASCII identifier of at most 64 letters, got {name!r}")
        if names.count(name) > 1:
            raise GraphError(f"[verify] {what}: the name '{name}' is given twice")


def _check_weights(graph: Graph) -> None:
    """A name is that of one array."""
    arrays: dict[str, Any] = {}
    for node in graph.order():
        if isinstance(node.op, Weight) and arrays.setdefault(node.op.name, node.op.array) is not node.op.array:
            raise GraphError(f"[verify] two weights have the name '{node.op.name}'")


def _check_state(graph: Graph) -> None:
    """Each pair names an input and an output of one type, and each is in one pair."""
    inputs, outputs = {x.op.name: x for x in graph.inputs}, dict(graph.outputs)
    for i, (before, after) in enumerate(graph.state):
        if before not in inputs or after not in outputs:
            raise GraphError(f"[verify] state {before!r} -> {after!r}: needs an input of {list(inputs)} and an output")
        if not same_type(inputs[before].type, outputs[after].type):
            given, found = describe(inputs[before].type), describe(outputs[after].type)
            raise GraphError(f"[verify] state '{before}' is {given}, '{after}', which follows it, {found}")
        if any(before == a or after == b for a, b in graph.state[:i]):
            raise GraphError(f"[verify] state '{before}' -> '{after}': each input and output belongs to one pair")


def _check_dims(node: Node, read: set[str]) -> None:
    """The named sizes are known when the graph runs: read off an input's axis, which is that size and no expression."""
    for size in (size for part in parts(node.type) for size in part.shape if isinstance(size, Size)):
        unread = sorted(dims_of(size).keys() - read)
        if unread:
            raise GraphError(f"[verify] {node!r}: no axis of an input that is given is {unread}")


def _check_node(node: Node, graph: Graph) -> None:
    """One node: a known op whose rule gives the recorded type."""
    match node.op:
        case Input():
            if node not in graph.inputs:
                raise GraphError(f"[verify] {node!r} is used but is not among the graph's inputs")
            expected: Any = node.type
        case Constant(array) | Weight(array):
            expected = Type(array.shape, str(array.dtype))
        case _:
            expected = _inferred(node.op, node)
    if not same_type(node.type, expected):
        raise GraphError(f"[verify] {node!r}: its rule gives {describe(expected)}")
    check_type(node)


def _inferred(op: Any, node: Node) -> Any:
    """The type by the op's own rule."""
    known = OPS.get(type(op).__name__) is type(op)
    if not known:
        raise GraphError(f"[verify] {node!r}: unknown op {type(op).__name__}")
    try:
        return op.infer(*[x.type for x in node.inputs])
    except (NeedleError, TypeError) as error:  # TypeError: not as many inputs as the op takes
        raise GraphError(f"[verify] {node!r}: {error}") from error


def check_type(node: Node) -> None:
    """GraphError unless it is of DTYPES, of at most MAX_RANK axes and MAX_ELEMENTS elements, or a tuple of those."""
    for part in parts(node.type):
        if part.dtype not in DTYPES and part.dtype not in STORED:
            raise GraphError(f"[verify] {node!r:.200}: only {', '.join((*DTYPES, *STORED))} are supported")
        if len(part.shape) > MAX_RANK or any(_least(size) < 0 for size in part.shape):
            needed = f"needs at most {MAX_RANK} axes, each of size 0 or more whatever the open ones are"
            raise GraphError(f"[verify] {node!r:.200}: {needed}")
        if math.prod(map(plain, part.shape)) > MAX_ELEMENTS:
            raise GraphError(f"[verify] {node!r:.200}: more than {MAX_ELEMENTS} elements")


def _least(size: int) -> int:
    """The smallest value of a size; -1 where there is none."""
    low = bounds(terms_of(size))[0]
    return -1 if low is None else low
