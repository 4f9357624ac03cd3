"""The program under construction: where each value of the graph is, and the calls so far."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from needle import ops
from needle.sizes import smaller
from needle.types import TYPES, Type

from ..ir import Graph, Input, Node, apply, describe
from ..kernels import KERNELS
from ..plan import rounded
from ..program import FLOAT, Buffer, Call, Program, View, floats_of, same, whole

Value = View | tuple[View, ...]


@dataclass(frozen=True)
class Refused:
    """A row of the table for an op that no program is written for; the reason is the message the user reads."""

    reason: str


@dataclass(frozen=True)
class Expanded(Refused):
    """A row for an op that a pass makes other ops of (deploy/expand); the reason is for where it could not."""


@dataclass
class Lowering:
    """Rows of the table (table.py) call `view`, `dense`, `new`, `weight` and `call`."""

    graph: Graph
    favoured: int = 1  # the batch that calls are to be fast for; all give the same for every batch
    device: str = "cpu"  # where they run
    weights: dict[Hashable, tuple[Node, int]] = field(default_factory=dict)  # what is stored, and at which float
    block: Buffer = field(default_factory=lambda: Buffer("weights"))
    arena: list[Buffer] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    views: dict[Node, Value] = field(default_factory=dict)
    targets: dict[Node, Buffer] = field(default_factory=dict)  # nodes computed straight into an output
    uses_left: dict[Node, int] = field(default_factory=dict)  # how often each node is still to be read
    limits: dict[str, int] = field(default_factory=dict)  # of inputs of whole numbers from 0 on: they are below
    node: Node | None = None  # whose calls are being added
    held: dict[Buffer, set[Node]] = field(default_factory=lambda: defaultdict(set))  # whose values lie in a buffer

    def view(self, node: Node) -> View:
        """The value of a node, with whatever strides it has."""
        return self.parts(node)[0]

    def parts(self, node: Node) -> tuple[View, ...]:
        """The values of a node that is a tuple. What is known is stored when it is first asked for."""
        if node.known and node not in self.views:
            self.views[node] = self._stored(node)
        views = self.views[node]
        return views if isinstance(views, tuple) else (views,)

    def _stored(self, node: Node) -> Value:
        if not isinstance(node.type, Type):
            return tuple(self.weight(node, apply(ops.TupleGetItem(k), node), k) for k in range(len(node.type)))
        if isinstance(node.op, ops.BroadcastTo):  # cheaper read with stride 0
            return self.view(node.inputs[0]).broadcast(node.shape)
        return self.weight(node, node)

    def dense(self, node: Node) -> View:
        """The value of a node with its elements in order: copied if they are not."""
        return self.in_order(self.view(node))

    def in_order(self, view: View) -> View:
        """The same elements in order: copied if they are not."""
        return view if view.dense else self.copied(view)

    def copied(self, view: View) -> View:
        """The same elements in order, in memory of their own."""
        copy = self.temporary(view.type, "a copy in order")
        self.copy(copy, view)
        return copy

    def copy(self, to: View, view: View) -> None:
        """to = view."""
        if view.dtype == "float32":
            self.call("copy_strided", reads=[view], writes=[to])
        else:
            self.call("map_elements", reads=[view], writes=[to], functor="Copy")

    def new(self, node: Node, reuse: Sequence[View] = ()) -> View:
        """Dense memory for the value of a node: an output, a view in `reuse` that nobody reads again, or fresh."""
        if node in self.targets:
            return whole(self.targets[node], node.type)
        for view in reuse:
            buffer = view.buffer
            spare = buffer.kind == "arena" and all(self.uses_left[x] == 0 for x in self.held[buffer])
            alone = all(x.dense and same(x.offset, 0) for x in reuse if x.buffer is buffer)
            fits = all(same(buffer.floats, floats_of(Type(shape, buffer.dtype))) for shape in (view.shape, node.shape))
            if spare and alone and fits and buffer.dtype == node.type.dtype:
                return whole(buffer, node.type)
        return self.temporary(node.type, describe(node.type))

    def spare_state(self, view: View) -> bool:
        """Whether the view is all of a state, whose value as it is now nobody reads again."""
        buffer = view.buffer
        same_memory = view.dense and same(view.offset, 0) and same(buffer.floats, floats_of(view.type))
        return buffer.kind == "state" and same_memory and all(self.uses_left[x] == 0 for x in self.held[buffer])

    def written(self, buffer: Buffer) -> int:
        """How many calls have written to a buffer."""
        return sum(view.buffer is buffer for call in self.calls for view in call.writes)

    def temporary(self, type: Type, note: str = "") -> View:
        """Dense memory for a value of this type."""
        return whole(self._buffer(floats_of(type), note, type.dtype), type)

    def _buffer(self, floats: int, note: str, dtype: str = "float32") -> Buffer:
        buffer = Buffer("arena", floats, dtype, len(self.calls), len(self.calls), note)
        self.arena.append(buffer)
        return buffer

    def limit(self, node: Node, below: int) -> None:
        """Note that the numbers of a node, if it is an input in some order or counts on from one, are in 0..below-1."""
        while isinstance(node.op, ops.Transpose | ops.Permute | ops.Reshape | ops.BroadcastTo | ops.Positions):
            below = below - node.shape[1] + 1 if isinstance(node.op, ops.Positions) else below
            node = node.inputs[0]
        if isinstance(node.op, Input):
            self.limits[node.op.name] = smaller(below, self.limits.get(node.op.name, below))

    def weight(self, of: Node, stored: Node, *how: Hashable) -> View:
        """Memory that holds `stored`, a known node made of the node `of`; made of the same in the same way: once."""
        key = (of, *how)
        if key not in self.weights:
            last, offset = next(reversed(self.weights.values()), (None, 0))
            begin = offset + (rounded(floats_of(last.type)) if last else 0)
            self.weights[key] = stored, begin
        stored, offset = self.weights[key]
        return whole(self.block, stored.type, FLOAT * offset // TYPES[stored.type.dtype].bytes)

    def call(
        self, kernel: str, sizes: Sequence[int] = (), *, reads: Sequence[View], writes: Sequence[View], **more: Any
    ) -> None:
        """Add a `Call`, of which `more` are further fields; its scratch memory is what the kernel's row says."""
        wanted = KERNELS[kernel].scratch(*sizes)
        scratch = self._buffer(wanted, "scratch") if wanted else None
        for buffer in [x.buffer for x in (*reads, *writes)] + ([scratch] if scratch else []):
            buffer.last = len(self.calls)
        self.calls.append(
            Call(kernel, tuple(sizes), tuple(reads), tuple(writes), scratch=scratch, node=self.node, **more)
        )

    def program(self) -> Program:
        """What has been lowered."""
        weights = tuple(self.weights.values())
        calls, arena = tuple(self.calls), tuple(self.arena)
        return Program(self.graph, calls, arena, weights, self.limits, self.favoured, self.device)
