"""What a graph is lowered to: calls of kernels on views of buffers. Records alone: kernels.py says what a call holds,
print_cpp.py words it, instant.py runs it at once.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy

from needle.sizes import unit
from needle.types import TYPES, Type

from .dtypes import numpy_dtype
from .interpreter import values_of
from .ir import Graph, Node, dim_key
from .nd import structure
from .plan import Lifetime, Plan, plan, rounded
from .regroup import reshaped_strides

FLOAT = 4  # bytes


@dataclass(eq=False)
class Buffer:
    """Memory of `floats`, for elements of a dtype: in the arena, from call `first` to call `last`, or `kind` says what
    it is: an "input", an "output", a "state" (`index` counts them), the "weights", which are of any dtype.
    """

    kind: str
    floats: int = 0  # the unit of memory: 4 bytes
    dtype: str = "float32"
    first: int = -1
    last: int = -1
    note: str = ""
    index: int = 0


@dataclass(frozen=True)
class View:
    """Element (i, j, ...) is `buffer[offset + i strides[0] + j strides[1] + ...]`; all numbers may be `Size`s.

    A state is written in place: `version` says how many calls have written to it when it holds the value that is meant.
    """

    buffer: Buffer
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0
    version: int = 0
    dtype: str = "float32"

    @property
    def type(self) -> Type:
        """Shape and dtype."""
        return Type(self.shape, self.dtype)

    @property
    def dense(self) -> bool:
        """Whether the elements lie in order, without gaps."""
        wanted = dense_strides(self.shape)
        return all(
            same(a, b)
            for a, b, size in zip(self.strides, wanted, self.shape, strict=True)
            if not same(size, 1)
        )

    def permute(self, axes: Sequence[int]) -> View:
        """Axis k of the result is axis axes[k]."""
        return replace(self, shape=tuple(self.shape[a] for a in axes), strides=tuple(self.strides[a] for a in axes))

    def broadcast(self, shape: tuple[int, ...]) -> View:
        """Repeated to `shape` by numpy's rule: stride 0 along what is repeated."""
        extra = len(shape) - len(self.shape)
        strides = [
            step if same(size, wanted) else 0
            for size, step, wanted in zip(self.shape, self.strides, shape[extra:], strict=True)
        ]
        return replace(self, shape=shape, strides=(0,) * extra + tuple(strides))

    def take(self, axis: int, index: int) -> View:
        """The slice at `index` of `axis`, which goes away."""
        shape = self.shape[:axis] + self.shape[axis + 1 :]
        strides = self.strides[:axis] + self.strides[axis + 1 :]
        return replace(self, shape=shape, strides=strides, offset=self.offset + index * self.strides[axis])

    def slice(self, axis: int, start: int, size: int) -> View:
        """The `size` elements of `axis` from `start` on."""
        shape = (*self.shape[:axis], size, *self.shape[axis + 1 :])
        return replace(self, shape=shape, offset=self.offset + start * self.strides[axis])

    def every(self, axis: int, step: int, count: int) -> View:
        """The first of every `step` elements of `axis`, `count` of them."""
        shape = (*self.shape[:axis], count, *self.shape[axis + 1 :])
        strides = (*self.strides[:axis], self.strides[axis] * step, *self.strides[axis + 1 :])
        return replace(self, shape=shape, strides=strides)

    def flip(self, axis: int) -> View:
        """`axis` walked from its end."""
        step = self.strides[axis]
        strides = (*self.strides[:axis], -step, *self.strides[axis + 1 :])
        return replace(self, strides=strides, offset=self.offset + (self.shape[axis] - 1) * step)

    def reshape(self, shape: tuple[int, ...]) -> View:
        """Other sizes for the same elements; only for dense views."""
        return replace(self, shape=shape, strides=dense_strides(shape))

    def regrouped(self, shape: tuple[int, ...]) -> View | None:
        """Other sizes for the same elements; None where no strides go through them in order."""
        strides = reshaped_strides(self.shape, self.strides, shape)
        return None if strides is None else replace(self, shape=shape, strides=strides)

    def written(self) -> View:
        """The same elements behind the next call that writes to the buffer."""
        return replace(self, version=self.version + 1)


def whole(buffer: Buffer, type: Type, offset: int = 0) -> View:
    """Row-major memory for a value of this type, from an element on."""
    return View(buffer, type.shape, dense_strides(type.shape), offset, dtype=type.dtype)


def floats_of(type: Type) -> int:
    """The memory of a value, in floats."""
    count, of = unit(math.prod(type.shape))
    return -(-count * TYPES[type.dtype].bytes // FLOAT) * of


@dataclass(frozen=True)
class Call:
    """One call of a kernel, whose row in kernels.py names what is in it."""

    kernel: str
    sizes: tuple[int, ...]
    reads: tuple[View, ...]
    writes: tuple[View, ...]
    numbers: tuple[float, ...] = ()
    functor: str = ""  # of csrc/nd/scalar.h, or a fold of csrc/nd/reduce.h
    epilogue: tuple[str, ...] = ()  # the steps after a product: "relu", "bias", "add"
    windows: tuple[Any, ...] = ()  # the Bands of rows and columns
    scratch: Buffer | None = None
    note: str = ""  # what it computes, for people
    node: Node | None = field(default=None, compare=False, repr=False)  # of the graph, which it is part of computing

    @property
    def operands(self) -> tuple[View, ...]:
        """What it writes, then what it reads: the order of a loop nest."""
        return (*self.writes, *self.reads)


@dataclass(frozen=True)
class Program:
    """The calls that compute a graph, in order, and their memory: `arena`, and one block of `weights`.

    In the block is what each known node gives, from the float beside it on: functions of the model's weights, which
    are computed for those at hand (`block`). Nothing else of a program depends on their values.
    """

    graph: Graph
    calls: tuple[Call, ...]
    arena: tuple[Buffer, ...]
    weights: tuple[tuple[Node, int], ...]
    limits: Mapping[str, int] = field(default_factory=dict)  # inputs of whole numbers from 0 on, which are below
    favoured: int = 1  # the batch for which the kernels were chosen
    device: str = "cpu"  # and the device

    @cached_property
    def structure(self) -> str:
        """The hash of all but the weights' values: 32 hexadecimal digits."""
        plain = structure(self.graph)
        chosen = f" for batches of {self.favoured}" if self.favoured != 1 else ""
        chosen += f" on {self.device}" if self.device != "cpu" else ""
        return hashlib.sha256(f"{plain}{chosen}".encode()).hexdigest()[:32] if chosen else plain

    @property
    def block_floats(self) -> int:
        """The size of the block; each array begins at a cache line."""
        return max((offset + rounded(floats_of(node.type)) for node, offset in self.weights), default=0)

    def block(self, arrays: Mapping[str, numpy.ndarray] | None = None) -> numpy.ndarray:
        """The block for the weights of the graph, or for others by name. Raises GraphError if they do not fit."""
        if arrays is not None:
            self.graph.check_weights(arrays)
        block = aligned(self.block_floats)
        block[:] = 0
        values = values_of([node for node, _ in self.weights], arrays)
        for (node, offset), array in zip(self.weights, values, strict=True):
            data = numpy.ascontiguousarray(array, numpy_dtype(node.type.dtype)).reshape(-1).view(numpy.uint8)
            block.view(numpy.uint8)[FLOAT * offset : FLOAT * offset + data.size] = data
        return block

    def plan(self) -> Plan:
        """Where in the arena each buffer is."""
        return plan([Lifetime(x.floats, x.first, x.last) for x in self.arena])


def aligned(floats: int) -> numpy.ndarray:
    """Memory for floats that begins at a cache line, uninitialised."""
    memory = numpy.empty(4 * floats + 64, dtype=numpy.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + 4 * floats].view(numpy.float32)


def same(a: int, b: int) -> bool:
    """Equal whatever the named dims are."""
    return bool(dim_key(a) == dim_key(b))


def dense_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Row-major strides."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step = size * step
    return tuple(reversed(strides))
