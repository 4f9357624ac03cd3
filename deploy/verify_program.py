"""The rules every program keeps; checked once after lowering, before anything prints or runs it."""

from __future__ import annotations

import math

from needle.types import Dim

from .errors import EmitError
from .kernels import KERNELS, Kernel
from .program import Buffer, Call, Program, View, floats_of, product, same

UNITS = (1, 2**20)  # what is linear in the batch holds for every size if it holds for these


def verify_program(program: Program) -> Program:
    """The same program, whose calls hold what their kernels' rows say, stay in their memory and read what was written.

    Raises EmitError naming the call and the rule: a fault of lowering, never of the user's.
    """
    room = {buffer: buffer.floats for buffer in program.arena}
    written: set[Buffer] = set()
    for call in program.calls:
        try:
            _check_call(call)
            for view in call.operands:
                _check_inside(view, _capacity(view.buffer, program, room))
            for view in call.reads:
                if view.buffer in room and view.buffer not in written:
                    raise ValueError("it reads memory that nothing was written to")
            for view in call.writes:
                if view.buffer.region in ("input", "weights"):
                    raise ValueError(f"it writes to the {view.buffer.region}")
                written.add(view.buffer)
        except ValueError as error:
            raise EmitError(f"[program] {call.kernel}, {call.note or 'a copy'}: {error}") from error
    return program


def _check_call(call: Call) -> None:
    """Counts, and dense operands of as many elements as the sizes say."""
    row: Kernel = KERNELS[call.kernel]
    names = row.sizes.split()
    if len(call.sizes) != len(names):
        raise ValueError(f"needs the sizes {names}, got {call.sizes}")
    if row.numbers != "*" and len(call.numbers) != len(row.numbers.split()):
        raise ValueError(f"needs the numbers '{row.numbers}', got {call.numbers}")
    sizes = dict(zip(names, call.sizes, strict=True))
    for views, words in ((call.reads, row.reads), (call.writes, row.writes)):
        wanted = row.counts(words)
        if not (len(views) == len(wanted) or (words.endswith("*") and len(views) >= len(wanted) - 1)):
            raise ValueError(f"needs the operands '{words}', got {len(views)}")
        for view, count in zip(views, wanted, strict=False):
            if count is not None and not same(product(view.shape), product([sizes[name] for name in count])):
                raise ValueError(f"an operand of shape {view.shape} must have {' * '.join(count)} elements, {sizes}")
    if not row.strided and not all(view.dense for view in call.operands):
        raise ValueError("its operands must lie dense")


def _capacity(buffer: Buffer, program: Program, room: dict[Buffer, int]) -> tuple[int, str]:
    """How many floats a buffer has, per unit of a region."""
    graph = program.graph
    match buffer.region:
        case "input":
            return floats_of(graph.inputs[buffer.index].shape)
        case "output":
            return floats_of(graph.outputs[buffer.index][1].shape)
        case "weights":
            return program.block_floats, "fixed"
    return room[buffer], buffer.region


def _check_inside(view: View, capacity: tuple[int, str]) -> None:
    """The first and the last element that a view reaches lie in its buffer, for every size of the batch."""
    floats, region = capacity
    for units in UNITS:
        shape, strides, (offset,) = (
            [_at(n, units) for n in part] for part in (view.shape, view.strides, (view.offset,))
        )
        steps = [(size - 1) * stride for size, stride in zip(shape, strides, strict=True)]
        first, last = offset + sum(min(0, x) for x in steps), offset + sum(max(0, x) for x in steps)
        end = floats * (units if region == "item" else 1)
        if math.prod(shape) > 0 and not 0 <= first <= last < end:
            raise ValueError(f"a view of shape {shape} with strides {strides} at {offset} leaves its {end} floats")


def _at(size: int, units: int) -> int:
    return size.scale * units if isinstance(size, Dim) else size
