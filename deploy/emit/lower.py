"""From a graph to a list of kernel calls, each value in a buffer; the rows of calls.py say which call an op is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy

from needle import ops
from needle.types import Type

from ..errors import EmitError
from ..ir import Constant, Graph, Input, Node, describe, dims
from ..plan import Lifetime, Plan, plan
from .views import Buffer, View, braces, dense_strides, floats_of, same

Value = View | tuple[View, ...]


@dataclass(frozen=True)
class Refused:
    """A row of the table for an op that no program is written for; the reason is the message the user reads."""

    reason: str


@dataclass
class Weights:
    """The constants as one block of floats, each array on a cache line of its own."""

    arrays: list[numpy.ndarray] = field(default_factory=list)
    offsets: dict[Any, int] = field(default_factory=dict)
    floats: int = 0

    def offset_of(self, key: Any, array: numpy.ndarray) -> int:
        """Where the array is, in floats; the same key is stored once."""
        if key not in self.offsets:
            flat = numpy.ascontiguousarray(array, dtype="<f4").reshape(-1)
            padding = numpy.zeros(-len(flat) % 16, dtype="<f4")
            self.offsets[key] = self.floats
            self.arrays += [flat, padding]
            self.floats += len(flat) + len(padding)
        return self.offsets[key]

    def bytes(self) -> bytes:
        """The block, little-endian."""
        return b"".join(x.tobytes() for x in self.arrays)


@dataclass
class Lowering:
    """The program under construction. Rows of the table call `view`, `dense`, `new`, `scratch`, `weight` and `call`."""

    graph: Graph
    weights: Weights = field(default_factory=Weights)
    arena: list[Buffer] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    views: dict[Node, Value] = field(default_factory=dict)
    targets: dict[Node, Buffer] = field(default_factory=dict)  # nodes computed straight into an output
    uses_left: dict[Node, int] = field(default_factory=dict)  # how often each node is still to be read

    def view(self, node: Node) -> View:
        """The value of a node, with whatever strides it has. A constant is stored when it is first asked for."""
        if isinstance(node.op, Constant) and node not in self.views:
            self.views[node] = _whole(Buffer(f"({self.weight(node, node.op.array)})"), node.type)
        return self.parts(node)[0]

    def parts(self, node: Node) -> tuple[View, ...]:
        """The values of a node that is a tuple."""
        views = self.views[node]
        return views if isinstance(views, tuple) else (views,)

    def dense(self, node: Node) -> View:
        """The value of a node with its elements in order: copied if they are not."""
        return self.in_order(self.view(node))

    def in_order(self, view: View) -> View:
        """The same elements in order: copied if they are not."""
        if view.dense:
            return view
        copy = self.temporary(Type(view.shape), "a copy in order")
        self.copy(copy, view)
        return copy

    def copy(self, to: View, view: View) -> None:
        """to = view."""
        self.call(f"copy_strided(on, {nest(to, view)}, {to.pointer}, {view.pointer})", to, view)

    def new(self, node: Node, reuse: Sequence[View] = ()) -> View:
        """Dense memory for the value of a node: an output, a view in `reuse` that nobody reads again, or fresh."""
        if node in self.targets:
            return _whole(self.targets[node], node.type)
        for view in reuse:
            buffer = view.buffer
            spare = buffer.region != "given" and all(self.uses_left[x] == 0 for x in buffer.readers)
            whole = all(x.dense and same(x.offset, 0) for x in reuse if x.buffer is buffer)
            if spare and whole and (buffer.floats, buffer.region) == floats_of(view.shape) == floats_of(node.shape):
                return _whole(buffer, node.type)
        return self.temporary(node.type, describe(node.type))

    def temporary(self, type: Type, note: str = "") -> View:
        """Dense memory for a value of this type."""
        return _whole(self._buffer(*floats_of(type.shape), note), type)

    def scratch(self, floats: int, region: str = "fixed") -> Buffer:
        """Memory for the length of the next call."""
        return self._buffer(floats, region, "scratch")

    def _buffer(self, floats: int, region: str, note: str) -> Buffer:
        buffer = Buffer(f"t{len(self.arena)}", floats, region, len(self.lines), len(self.lines), note)
        self.arena.append(buffer)
        return buffer

    def weight(self, key: Any, array: numpy.ndarray) -> str:
        """A pointer to a constant, as C++ text."""
        return f"weights + {self.weights.offset_of(key, array)}"

    def call(self, text: str, *used: View | Buffer, comment: str = "") -> None:
        """Add a statement that reads and writes the views and buffers in `used`."""
        for x in used:
            buffer = x.buffer if isinstance(x, View) else x
            buffer.last = len(self.lines)
        self.lines.append((f"// {comment}\n    " if comment else "") + text + ";")

    def plan(self) -> Plan:
        """Where in the arena each buffer is."""
        return plan([Lifetime(x.floats, x.region, x.first, x.last) for x in self.arena])


def lower(graph: Graph) -> Lowering:
    """The kernel calls that compute the graph. Raises EmitError naming the node for what cannot be written."""
    from .calls import CALLS

    if len(dims(graph)) > 1:
        raise EmitError(f"[emit] programs have one named dim, the batch; this graph has {sorted(dims(graph))}")
    low = Lowering(graph)
    order = graph.order()
    low.uses_left = dict(graph.uses())
    for i, node in enumerate(graph.inputs):
        low.views[node] = _whole(Buffer(f"x{i}"), node.type)
    for i, (_, node) in enumerate(graph.outputs):
        _aim(low, node, Buffer(f"y{i}"))
    for node in order:
        if isinstance(node.op, Input | Constant):
            continue
        for x in node.inputs:
            low.uses_left[x] -= 1
        low.views[node] = _value(low, node, CALLS)
        for part in low.parts(node):
            part.buffer.readers.add(node)
    for i, (_, node) in enumerate(graph.outputs):
        view = low.view(node)
        if view.buffer.name != f"y{i}":
            low.copy(_whole(Buffer(f"y{i}"), node.type), view)
    return low


def _value(low: Lowering, node: Node, calls: dict[type, Any]) -> Value:
    """Write the calls that compute one node."""
    row = calls.get(type(node.op), Refused("no kernel is known for it"))
    if isinstance(row, Refused):
        raise EmitError(f"[emit] {node!r}: {row.reason}")
    value: Value = row(low, node)
    return value


def _aim(low: Lowering, node: Node, output: Buffer) -> None:
    """Let the op that makes an output write there; through reshapes, which move nothing."""
    while isinstance(node.op, ops.Reshape) and low.uses_left[node] == 1 and low.uses_left[node.inputs[0]] == 1:
        node = node.inputs[0]
    if node not in low.targets:
        low.targets[node] = output


def _whole(buffer: Buffer, type: Type) -> View:
    return View(buffer, type.shape, dense_strides(type.shape))


def nest(*views: View) -> str:
    """A loop nest over views of one shape, the one that is written first."""
    shape = views[0].shape
    strides = ", ".join(braces(view.strides) for view in views)
    return f"Nest<{len(views)}>{{{len(shape)}, {braces(shape)}, {{{strides}}}}}"
