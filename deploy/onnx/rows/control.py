"""Branches, loops, sequences and optionals: none is left in a graph, they are resolved while reading."""

from __future__ import annotations

from typing import Any

import numpy

from needle import ops
from needle.sizes import Size, terms_of

from ...ir import Node, same_type
from .. import make
from ..at import At, Value, ValueNeeded
from ..make import Unsupported, apply, axis_of, const, index, known
from ..ops import Choice
from ..row import Row
from .shape import cut

MAX_ROUNDS = 2_000
MAX_ITEMS = 1 << 16  # of a sequence that is a tensor's slices; steps of a scan


def _if(at: At, condition: Node) -> tuple[Value, ...]:
    """The branch that the condition chooses; both, and a choice between their results, where data decide."""
    then, other = at.get("then_branch"), at.get("else_branch")
    if known(condition):
        return tuple(at.run(then if bool(condition.op.array.reshape(-1)[0]) else other, []))
    try:
        first, second = at.run(then, []), at.run(other, [])
    except Unsupported as error:
        raise ValueNeeded("data decide between branches, one of which cannot be read", condition) from error
    names: dict[Any, str] = {}
    return tuple(_chosen(at, condition, a, b, names) for a, b in zip(first, second, strict=True))


def _chosen(at: At, condition: Node, a: Value, b: Value, names: dict[Any, str]) -> Node:
    """One of two results, which may differ in their sizes; `names` are those of such pairs of sizes, in all results."""
    if not isinstance(a, Node) or not isinstance(b, Node):
        raise ValueNeeded("data decide between branches that do not both give a tensor: fix the condition", condition)
    if a.type.dtype != b.type.dtype or len(a.shape) != len(b.shape):
        raise ValueNeeded("data decide between branches of different types: fix the condition", condition)
    if not same_type(a.type, b.type):
        pairs = [(terms_of(m), terms_of(n)) for m, n in zip(a.shape, b.shape, strict=True)]
        for m, n in pairs:
            if m != n and (m, n) not in names:
                names[m, n] = at.fresh("chosen")
        return apply(Choice(tuple(names.get(pair, "") for pair in pairs)), condition, a, b)
    mask = make.reshape(condition, (1,) * len(a.shape)) if condition.shape != () else condition
    return apply(ops.Where(), mask, a, b)


def _loop(at: At, limit: Node | None, condition: Node | None, *carried: Value) -> tuple[Value, ...]:
    """The body, once for each round: how many there are must be known, or be decided by what is known."""
    body = at.get("body")
    most = None if limit is None else at.number(limit, "the number of rounds")
    goes = True if condition is None else bool(at.number(condition, "the condition"))
    values, scanned, n = list(carried), [], 0
    while goes and (most is None or n < most):
        if n >= MAX_ROUNDS:
            raise Unsupported(f"more than {MAX_ROUNDS} rounds of a loop")
        test, *results = at.run(body, [const(n, "int64"), const(True), *values])
        values, rows = results[: len(values)], results[len(values) :]
        scanned.append(rows)
        n += 1
        if known(test):
            goes = bool(test.op.array.reshape(-1)[0])
        elif most is None:
            raise ValueNeeded("a loop that data end has no bound", test)
        else:
            raise ValueNeeded("a loop that data end: its number of rounds must be known", test)
    count = len(body.output) - 1 - len(carried)
    if count and not scanned:
        return (*values, *(_empty(body.output[1 + len(carried) + i]) for i in range(count)))
    return (*values, *(stacked([rows[i] for rows in scanned], 0) for i in range(count)))


def _empty(info: Any) -> Node:
    from ..dtypes import NAMES, numpy_dtype

    tensor = info.type.tensor_type
    shape = [d.dim_value for d in tensor.shape.dim]
    return make.const(numpy.zeros((0, *shape), dtype=numpy_dtype(NAMES.get(tensor.elem_type, "float32"))))


def stacked(parts: list[Node], axis: int) -> Node:
    """The parts along a new axis."""
    shape = parts[0].shape
    wide = [make.reshape(p, (*shape[:axis], 1, *shape[axis:])) for p in parts]
    return make.concat(wide, axis)


def _scan(at: At, *inputs: Value) -> tuple[Value, ...]:
    """The body, once for each slice of the scanned inputs."""
    count = at.get("num_scan_inputs")
    if at.opset < 9:
        return _scan_8(at, count, inputs)
    return _scanned(at, count, list(inputs))


def _scan_8(at: At, count: int, inputs: tuple[Value, ...]) -> tuple[Value, ...]:
    """Opset 8 has an optional first input, lengths, and a batch axis in front of all: row by row."""
    if inputs[0] is not None:
        raise Unsupported("with lengths of sequences")
    rest = list(inputs[1:])
    batch = _few(rest[0].shape[0])
    rows = [_scanned(at, count, [index(x, 0, b) for x in rest]) for b in range(batch)]
    return tuple(stacked([row[i] for row in rows], 0) for i in range(len(rows[0])))


def _few(n: int) -> int:
    """A size each of whose elements is looked at. Raises Unsupported for an open one, and for one of very many."""
    if isinstance(n, Size):
        raise Unsupported(f"over an open size, {n}: give the input's shape")
    if n > MAX_ITEMS:
        raise Unsupported(f"over {n} elements, of at most {MAX_ITEMS}")
    return n


def _scanned(at: At, count: int, inputs: list[Value]) -> tuple[Value, ...]:
    body = at.get("body")
    states, sequences = inputs[: len(inputs) - count], inputs[len(inputs) - count :]
    axes = [axis_of(a, len(x.shape)) for a, x in zip(at.get("scan_input_axes") or (0,) * count, sequences, strict=True)]
    back = at.get("scan_input_directions") or at.get("directions") or (0,) * count
    steps = _few(sequences[0].shape[axes[0]])
    rows = []
    for t in range(steps):
        seen = [index(x, a, steps - 1 - t if b else t) for x, a, b in zip(sequences, axes, back, strict=True)]
        results = at.run(body, [*states, *seen])
        states, row = results[: len(states)], results[len(states) :]
        rows.append(row)
    n = len(body.output) - len(states)
    out_axes, out_back = at.get("scan_output_axes") or (0,) * n, at.get("scan_output_directions") or (0,) * n
    found = []
    for i in range(n):
        parts = [row[i] for row in rows]
        parts = parts[::-1] if out_back[i] else parts
        found.append(stacked(parts, axis_of(out_axes[i], len(parts[0].shape) + 1)))
    return (*states, *found)


# -- sequences and optionals -------------------------------------------------------------------------------------------


def _place(at: At, items: list[Value], position: Node | None, what: str) -> int:
    i = int(at.number(position, what))
    if not -len(items) <= i <= len(items):
        raise Unsupported(f"position {i} in a sequence of {len(items)}")
    return i


def _insert(at: At, items: list[Value], item: Value, position: Node | None = None) -> list[Value]:
    i = len(items) if position is None else _place(at, items, position, "position")
    i = i + len(items) if i < 0 else i
    return [*items[:i], item, *items[i:]]


def _erase(at: At, items: list[Value], position: Node | None = None) -> list[Value]:
    i = len(items) - 1 if position is None else _place(at, items, position, "position")
    i = i + len(items) if i < 0 else i
    return [*items[:i], *items[i + 1 :]]


def _split_to(at: At, x: Node, lengths: Node | None = None) -> list[Value]:
    axis = axis_of(at.get("axis", 0), len(x.shape))
    n = _few(x.shape[axis])
    if lengths is None:
        parts = [index(x, axis, i) for i in range(n)]
        if at.get("keepdims", 1):
            parts = [make.reshape(p, (*p.shape[:axis], 1, *p.shape[axis:])) for p in parts]
        return [*parts]
    given = at.array(lengths, "split")
    each = [int(given)] * (n // int(given)) + ([n % int(given)] if n % int(given) else []) if given.ndim == 0 else [
        int(g) for g in given]  # fmt: skip
    found: list[Value] = []
    start = 0
    for size in each:
        found.append(cut(x, axis, start, start + size))
        start += size
    return found


def _join(at: At, items: list[Value]) -> Node:
    axis = at.get("axis")
    if at.get("new_axis", 0):
        return stacked(items, axis_of(axis, len(items[0].shape) + 1))
    return make.concat(items, axis_of(axis, len(items[0].shape)))


def _sequence_map(at: At, first: list[Value], *more: Value) -> tuple[Value, ...]:
    body, found = at.get("body"), []
    for i in range(len(first)):
        found.append(at.run(body, [first[i], *(m[i] if isinstance(m, list) else m for m in more)]))
    return tuple([row[k] for row in found] for k in range(len(body.output)))


def _has(at: At, x: Value = None) -> Node:
    return const(numpy.array(x is not None))


def _get(at: At, x: Value) -> Value:
    if x is None:
        raise Unsupported("the optional is empty")
    return x


def _optional(at: At, x: Value = None) -> tuple[Value, ...]:
    return (x,)


ROWS: dict[str, Row] = {
    "If": Row(_if, in_float32=False),
    "Loop": Row(_loop, in_float32=False),
    "Scan": Row(_scan, in_float32=False),
    "SequenceConstruct": Row(lambda at, *items: [*items], in_float32=False),
    "SequenceEmpty": Row(lambda at: [], in_float32=False),
    "SequenceInsert": Row(_insert, in_float32=False),
    "SequenceErase": Row(_erase, in_float32=False),
    "SequenceAt": Row(lambda at, items, i: items[int(at.number(i, "position"))], in_float32=False),
    "SequenceLength": Row(lambda at, items: const(len(items), "int64"), in_float32=False),
    "SplitToSequence": Row(_split_to, in_float32=False),
    "ConcatFromSequence": Row(_join, in_float32=False),
    "SequenceMap": Row(_sequence_map, in_float32=False),
    "OptionalHasElement": Row(_has, in_float32=False),
    "OptionalGetElement": Row(_get, in_float32=False),
    "Optional": Row(_optional, in_float32=False),
}
