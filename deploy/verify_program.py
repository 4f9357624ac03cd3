"""The rules every program keeps; checked once after lowering, before anything prints or runs it."""

from __future__ import annotations

import math
from collections import Counter

from needle.size_terms import bounds
from needle.sizes import terms_of
from needle.types import TYPES

from .errors import EmitError
from .kernels import KERNELS, Kernel
from .program import FLOAT, Buffer, Call, Program, View, floats_of, same


def verify_program(program: Program) -> Program:
    """The same program, whose calls hold what their kernels' rows say, stay in their memory and read what was written.

    Raises EmitError naming the call and the rule: a fault of lowering, never of the user's.
    """
    arena = set(program.arena)
    written: Counter[Buffer] = Counter()  # how many calls have written to each
    for call in program.calls:
        try:
            _check_call(call)
            for view in call.operands:
                _check_inside(view, FLOAT * _capacity(view.buffer, program) // TYPES[view.dtype].bytes)
                if view.buffer.kind != "weights" and view.dtype != view.buffer.dtype:
                    raise ValueError(f"it takes {view.buffer.dtype} for {view.dtype}")
            for view in call.reads:
                if view.buffer.kind == "state" and view.version != written[view.buffer]:
                    why = "whose old value is gone" if view.version < written[view.buffer] else "before it is written"
                    raise ValueError(f"it reads a state {why}")
                if view.buffer in arena and not written[view.buffer]:
                    raise ValueError("it reads memory that nothing was written to")
            for view in call.writes:
                _check_write(call, view, written)
                written[view.buffer] += 1
        except ValueError as error:
            raise EmitError(f"[program] {call.kernel}, {call.note or 'a copy'}: {error}") from error
    return program


def _check_write(call: Call, view: View, written: Counter[Buffer]) -> None:
    """What may be written: of a state the value after this call, by a call that reads nothing else of it."""
    if view.buffer.kind in ("input", "weights"):
        raise ValueError(f"it writes to the {view.buffer.kind}")
    if view.buffer.kind != "state":
        return
    if view.version != written[view.buffer] + 1:
        raise ValueError(f"it writes version {view.version} of a state, of which {written[view.buffer]} were written")
    if any(x.buffer is view.buffer and x.written() != view for x in call.reads):
        raise ValueError("it writes to a state of which it reads other elements")


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
            if count is not None and not same(math.prod(view.shape), math.prod(sizes[name] for name in count)):
                raise ValueError(f"an operand of shape {view.shape} must have {' * '.join(count)} elements, {sizes}")
    if not row.strided and not all(view.dense for view in call.operands):
        raise ValueError("its operands must lie dense")
    for view in call.operands:
        if view.dtype not in row.dtypes:
            raise ValueError(f"its operands must be {', '.join(row.dtypes)}, got {view.dtype}")


def _capacity(buffer: Buffer, program: Program) -> int:
    """How many floats a buffer has."""
    graph = program.graph
    match buffer.kind:
        case "input":
            return floats_of(graph.given[buffer.index].type)
        case "output":
            return floats_of(graph.results[buffer.index][1].type)
        case "weights":
            return program.block_floats
    return buffer.floats


def _check_inside(view: View, capacity: int) -> None:
    """The first and the last element that a view reaches lie in its buffer, whatever the named sizes are."""
    first = last = view.offset
    for size, stride in zip(view.shape, view.strides, strict=True):
        low, high = bounds(terms_of(stride))
        reach = (size - 1) * stride
        if low is not None and low >= 0:
            last += reach
        elif high is not None and high <= 0:
            first += reach
        else:
            raise ValueError(f"a view of shape {view.shape} has strides {view.strides}, which may go either way")
    if _may_be_negative(first) or _may_be_negative(capacity - 1 - last):
        raise ValueError(
            f"a view of shape {view.shape} with strides {view.strides} at {view.offset} leaves its {capacity} elements"
        )


def _may_be_negative(size: int) -> bool:
    low, _ = bounds(terms_of(size))
    return low is None or low < 0
