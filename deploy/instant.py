"""A program that runs at once, call by call, with the kernels of needle's extension: nothing is compiled.

The extension's executor takes the calls as plain numbers. All sizes, strides and offsets are entries of one table of
integer expressions, which it evaluates once per run for the sizes at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from typing import Any

import numpy

from needle.backend_ndarray import ndarray_backend_cpu
from needle.size_terms import Dim, Factor, Monomial, Quotient, Terms
from needle.sizes import size_at, terms_of
from needle.types import TYPES

from .ir import Graph, dims, interface
from .lower import lower
from .passes import optimize
from .program import FLOAT, Buffer, Call, Program, View, aligned
from .rows import rows_apart
from .runtime import Arrays, Runtime

ARENA, WEIGHTS, GIVEN = 0, 1, 2  # the bases of its operands: then come inputs, outputs and states
FINISHING = ("conv", "winograd_conv", "transposed_conv", "winograd_transposed", "linear", "grouped_conv", "depthwise")
STEPS = ("relu", "bias", "add", "relu6", "silu", "hard_sigmoid", "hard_swish")  # as csrc/nd/epilogue.h numbers them


class Instant(Runtime):
    """The graph, optimised and lowered now. It answers as `Compiled` does, with the same bits.

    Kernels are chosen to be fast for batches of `favoured` rows, and give the same for every batch.

    Raises EmitError, naming the node, for what no program can hold.
    """

    def __init__(
        self, graph: Graph, *, name: str = "model", max_batch: int = 64, threads: int = 1, favoured: int = 1
    ) -> None:
        super().__init__()
        self.name, self.max_batch, self.threads = name, max_batch, threads
        ports = interface(graph)
        self.inputs, self.outputs = ports["inputs"], ports["outputs"]
        self.shapes = {x.op.name: x.shape for x in graph.given}
        self.results = {key: x.shape for key, x in graph.results}
        self.kept = {name: next(x.type for x in graph.inputs if x.op.name == name) for name, _ in graph.state}
        self.apart = rows_apart(graph)
        program, self._dims = lower(optimize(graph), favoured), list(dims(graph))
        self.limits = program.limits
        self.program, self._program, self._arena_floats = program, executable(program), program.plan().floats
        self._timed: list[float] | None = None  # the seconds of the calls, where somebody asks for them
        self._weights = program.block()
        self._arena = numpy.empty(0, dtype=numpy.float32)
        self._planned: dict[str, int] | None = None  # sizes for which the arena is large enough
        self._opened()

    def times(self, **inputs: numpy.ndarray) -> list[float]:
        """The seconds of each call of `program` in a run of at most `max_batch` rows. Raises what `run` raises."""
        self._timed = []
        try:
            self.run(**inputs)
            return self._timed
        finally:
            self._timed = None

    def _run(self, sizes: dict[str, int], inputs: Arrays, outputs: Arrays, states: Arrays) -> None:
        if sizes != self._planned:
            floats = size_at(self._arena_floats, {**sizes, "threads": self.threads})
            if self._arena.size < floats:
                self._arena = aligned(floats)
            self._planned = dict(sizes)
        bases = [self._arena, self._weights, *inputs, *outputs, *states]
        run = self._program.times if self._timed is not None else self._program.run
        self._timed = run([*(sizes[name] for name in self._dims), self.threads], bases, self.threads)

    def _free(self) -> None:
        self._arena = self._weights = numpy.empty(0, dtype=numpy.float32)


def executable(program: Program) -> Any:
    """The extension's executor of a program, which is given the values of the dims, and last the number of threads."""
    plan = program.plan()
    sizes = Sizes([*dims(program.graph), "threads"])
    starts: dict[Buffer, int] = {}
    for buffer, region, offset in zip(program.arena, plan.regions, plan.offsets, strict=True):
        starts[buffer] = sum(plan.totals[:region]) + offset

    def operand(view: View | Buffer) -> tuple[int, int, int]:
        buffer, offset = (view.buffer, view.offset) if isinstance(view, View) else (view, 0)
        bytes = TYPES[view.dtype].bytes
        return base(buffer), sizes.of(FLOAT * starts.get(buffer, 0) + bytes * offset), bytes

    def base(buffer: Buffer) -> int:
        outputs = GIVEN + len(program.graph.given)
        states = outputs + len(program.graph.results)
        first = {"arena": ARENA, "weights": WEIGHTS, "input": GIVEN, "output": outputs, "state": states}
        return first[buffer.kind] + buffer.index

    calls = []
    for call in program.calls:
        integers = [sizes.of(size) for size in integers_of(call)]
        numbers = [*call.numbers, *(w for bands in call.windows for w in bands.arrays[3] if call.kernel == "resample")]
        operands = [operand(x) for x in operands_of(call)]
        calls.append((call.kernel, functor_of(call), integers, [float(x) for x in numbers], operands))
    return ndarray_backend_cpu.Program(len(sizes.dims), sizes.table, calls)


def functor_of(call: Call) -> str:
    """The functor of a call; of kernels for any elements with their types."""
    match call.kernel:
        case "map_elements" | "fold_elements":
            return f"{call.functor} {call.reads[-1].dtype} {call.writes[0].dtype}"
        case "scatter_elements":
            return f"{call.functor} {call.reads[0].dtype} {call.writes[0].dtype}"
        case "scan_elements" | "order_elements":
            return f"{call.functor} {call.reads[0].dtype}"
        case "matmul_elements":
            return call.writes[0].dtype
        case "take_elements" | "gather_elements" | "iota":
            return call.writes[0].dtype
        case "lookup" | "positions":
            return call.reads[0].dtype
        case "cache_write" | "cached_attention":
            return call.reads[-1].dtype
    return call.functor


def integers_of(call: Call) -> list[int]:
    """The sizes of a call, then what else its kernel is told: a loop nest, strides, steps, windows."""
    sizes = list(call.sizes)
    match call.kernel:
        case "map_strided" | "copy_strided" | "map_elements":
            shape = call.writes[0].shape
            return [len(shape), *shape, *(step for view in call.operands for step in view.strides)]
        case "conv" | "winograd_conv" | "transposed_conv" | "winograd_transposed":
            return [*sizes, *call.reads[0].strides, *map(STEPS.index, call.epilogue)]
        case "batched_matmul":
            return [*sizes, *call.reads[0].strides, *call.reads[1].strides]
        case "quantize":
            return [*sizes, *call.reads[0].strides]
        case "grouped_conv":
            return [*sizes, *call.reads[0].strides, *map(STEPS.index, call.epilogue)]
        case "depthwise":
            return [*sizes, *call.reads[0].strides[:3], *map(STEPS.index, call.epilogue)]
        case "conv_input_gradient":
            return [*sizes, *call.reads[0].strides]
        case "attention":
            return [*sizes, *(step for view in (*call.reads, call.writes[0]) for step in view.strides[:3])]
        case "cached_attention":
            return [*sizes, *(step for view in (call.reads[0], call.writes[0]) for step in view.strides[:3])]
        case "linear" | "coded_linear":
            return [*sizes, *map(STEPS.index, call.epilogue)]
        case "max_pool" | "resample" | "byte_max_pool":
            tables = [x for bands in call.windows for x in _table(bands)]
            return [*sizes, *(call.reads[0].strides[:3] if call.kernel != "byte_max_pool" else []), *tables]
    return sizes


def operands_of(call: Call) -> list[View | Buffer]:
    """The views of a call in the order in which its kernel is given them."""
    scratch = [call.scratch] if call.scratch is not None else []
    if call.kernel in ("map", "map_strided", "copy_strided", "map_elements"):
        return list(call.operands)
    if call.kernel in FINISHING:
        return [*call.reads[:2], *call.writes, *scratch, *call.reads[2:]]
    if call.kernel == "coded_linear":
        return [*call.reads[:3], *call.writes, *scratch, *call.reads[3:]]
    if call.kernel == "byte_conv":  # where no border is copied there is no scratch, and any memory stands for it
        return [*call.reads[:4], *call.writes, *(scratch or call.writes), *call.reads[4:]]
    return [*call.reads, *call.writes, *scratch]


def _table(bands: Any) -> list[int]:
    """Outputs, size, and what each output reads."""
    size, first, start, _ = bands.arrays
    return [bands.outputs, size, *first.tolist(), *start.tolist()]


class Sizes:
    """The table of integer expressions over dims; equal ones are one entry."""

    def __init__(self, dims: Sequence[str]) -> None:
        self.dims = list(dims)
        self.table: list[tuple[str, int, int]] = []
        self._index: dict[tuple[str, int, int], int] = {}

    def add(self, kind: str, a: int, b: int = 0) -> int:
        """The index of an entry."""
        entry = (kind, a, b)
        if entry not in self._index:
            self._index[entry] = len(self.table)
            self.table.append(entry)
        return self._index[entry]

    def of(self, size: int) -> int:
        """The index of a size or a number."""
        return self._sum(terms_of(size))

    def _sum(self, terms: Terms) -> int:
        parts = [self._product(monomial, coefficient) for monomial, coefficient in terms]
        return reduce(partial(self.add, "add"), parts) if parts else self.add("const", 0)

    def _product(self, monomial: Monomial, coefficient: int) -> int:
        factors = [self._factor(x) for x in monomial]
        number = [self.add("const", coefficient)] if coefficient != 1 or not factors else []
        return reduce(partial(self.add, "mul"), [*number, *factors])

    def _factor(self, factor: Factor) -> int:
        match factor:
            case Dim(name):
                return self.add("dim", self.dims.index(name))
            case Quotient(terms, by):
                return self.add("floordiv", self._sum(terms), self.add("const", by))
        return self.add(factor.kind, self._sum(factor.a), self._sum(factor.b))
