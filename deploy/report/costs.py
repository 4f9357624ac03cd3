"""What the calls of a program cost, and which memory they need when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from needle.sizes import size_at

from ..program import FLOAT, Program
from ..roofline import moved, work


def calls(program: Program, sizes: Mapping[str, int]) -> list[dict[str, Any]]:
    """A row for each call: the kernel, what it writes, its multiply-adds and the bytes that it reads and writes."""
    return [
        {
            "kernel": call.kernel, "functor": call.functor, "epilogue": list(call.epilogue),
            "writes": [{"dtype": x.dtype, "shape": [size_at(n, sizes) for n in x.shape]} for x in call.writes],
            "multiply_adds": work(call, sizes), "bytes": moved(call, sizes),
        }
        for call in program.calls
    ]  # fmt: skip


def arena(program: Program, sizes: Mapping[str, int]) -> dict[str, Any]:
    """The arena in bytes, and its buffers: from which call to which, from which byte on, how many."""
    plan = program.plan()
    starts = [size_at(sum(plan.totals[:region]), sizes) for region in range(len(plan.totals))]
    buffers = [
        {
            "what": buffer.note or "a value", "first": buffer.first, "last": buffer.last,
            "start": FLOAT * (starts[region] + size_at(offset, sizes)), "bytes": FLOAT * size_at(buffer.floats, sizes),
        }
        for buffer, region, offset in zip(program.arena, plan.regions, plan.offsets, strict=True)
    ]  # fmt: skip
    return {"bytes": FLOAT * size_at(plan.floats, sizes), "buffers": buffers}
