"""The program under construction: where each value of the graph is, and the calls so far."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy

from needle.types import Type

from ..ir import Constant, Graph, Node, describe
from ..kernels import KERNELS
from ..program import Buffer, Call, Program, View, floats_of, same, whole

Value = View | tuple[View, ...]
LINE = 16  # floats of a cache line, at which each array of weights begins


@dataclass(frozen=True)
class Refused:
    """A row of the table for an op that no program is written for; the reason is the message the user reads."""

    reason: str


@dataclass
class Weights:
    """The constants as one block of floats, each array on a cache line of its own."""

    arrays: list[numpy.ndarray] = field(default_factory=list)
    offsets: dict[Hashable, int] = field(default_factory=dict)
    floats: int = 0

    def offset_of(self, key: Hashable, array: numpy.ndarray) -> int:
        """Where the array is, in floats; the same key is stored once."""
        if key not in self.offsets:
            flat = numpy.ascontiguousarray(array, dtype="<f4").reshape(-1)
            padding = numpy.zeros(-len(flat) % LINE, dtype="<f4")
            self.offsets[key] = self.floats
            self.arrays += [flat, padding]
            self.floats += len(flat) + len(padding)
        return self.offsets[key]

    def bytes(self) -> bytes:
        """The block, little-endian."""
        return b"".join(x.tobytes() for x in self.arrays)


@dataclass
class Lowering:
    """Rows of the table (table.py) call `view`, `dense`, `new`, `weight` and `call`."""

    graph: Graph
    weights: Weights = field(default_factory=Weights)
    block: Buffer = field(default_factory=lambda: Buffer("weights"))
    arena: list[Buffer] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    views: dict[Node, Value] = field(default_factory=dict)
    targets: dict[Node, Buffer] = field(default_factory=dict)  # nodes computed straight into an output
    uses_left: dict[Node, int] = field(default_factory=dict)  # how often each node is still to be read
    held: dict[Buffer, set[Node]] = field(default_factory=lambda: defaultdict(set))  # whose values lie in a buffer

    def view(self, node: Node) -> View:
        """The value of a node, with whatever strides it has. A constant is stored when it is first asked for."""
        if isinstance(node.op, Constant) and node not in self.views:
            self.views[node] = self.weight(node, node.op.array)
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
        self.call("copy_strided", reads=[view], writes=[to])

    def new(self, node: Node, reuse: Sequence[View] = ()) -> View:
        """Dense memory for the value of a node: an output, a view in `reuse` that nobody reads again, or fresh."""
        if node in self.targets:
            return whole(self.targets[node], node.type.shape)
        for view in reuse:
            buffer = view.buffer
            spare = buffer.floats > 0 and all(self.uses_left[x] == 0 for x in self.held[buffer])
            alone = all(x.dense and same(x.offset, 0) for x in reuse if x.buffer is buffer)
            if spare and alone and (buffer.floats, buffer.region) == floats_of(view.shape) == floats_of(node.shape):
                return whole(buffer, node.type.shape)
        return self.temporary(node.type, describe(node.type))

    def temporary(self, type: Type, note: str = "") -> View:
        """Dense memory for a value of this type."""
        return whole(self._buffer(*floats_of(type.shape), note), type.shape)

    def _buffer(self, floats: int, region: str, note: str) -> Buffer:
        buffer = Buffer(region, floats, len(self.calls), len(self.calls), note)
        self.arena.append(buffer)
        return buffer

    def weight(self, key: Hashable, array: numpy.ndarray) -> View:
        """A constant in the block of weights; the same key is stored once."""
        return whole(self.block, array.shape, self.weights.offset_of(key, array))

    def call(
        self, kernel: str, sizes: Sequence[int] = (), *, reads: Sequence[View], writes: Sequence[View], **more: Any
    ) -> None:
        """Add a `Call`, of which `more` are further fields; its scratch memory is what the kernel's row says."""
        wanted = KERNELS[kernel].scratch(*sizes)
        scratch = self._buffer(*wanted, "scratch") if wanted is not None else None
        for buffer in [x.buffer for x in (*reads, *writes)] + ([scratch] if scratch else []):
            buffer.last = len(self.calls)
        self.calls.append(Call(kernel, tuple(sizes), tuple(reads), tuple(writes), scratch=scratch, **more))

    def program(self) -> Program:
        """What has been lowered."""
        return Program(self.graph, tuple(self.calls), tuple(self.arena), self.weights.bytes())
