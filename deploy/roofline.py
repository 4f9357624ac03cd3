"""What a core of this machine does at most, and how near to it the calls of a program come."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy

from needle.backend_ndarray import ndarray_backend_cpu
from needle.sizes import size_at
from needle.types import TYPES

from .kernels import KERNELS
from .program import Call, Program, View, aligned

ROUNDS = 1 << 14  # of multiply-adds in one measurement
TRIES = 40


@dataclass(frozen=True)
class Roofline:
    """Multiply-adds and bytes per second, of which a call takes at least the longer time."""

    multiply_adds: float
    bytes: float

    def seconds(self, multiply_adds: int, bytes: int) -> float:
        """What so much work takes at least."""
        return max(multiply_adds / self.multiply_adds, bytes / self.bytes)


@dataclass(frozen=True)
class Cost:
    """One call: the median seconds it took, its multiply-adds, the bytes it reads and writes, the least seconds."""

    call: Call
    seconds: float
    multiply_adds: int
    bytes: int
    least: float


def roofline(program: Program, sizes: dict[str, int]) -> Roofline:
    """Measured now, on one core: multiply-adds that wait for nothing, and reading as many bytes as a run touches."""
    touched = program.block_floats + size_at(program.plan().floats, sizes)
    memory = aligned(max(touched, 1024))
    memory[:] = 0
    again = max(1, (1 << 18) // memory.size)
    work = ndarray_backend_cpu.multiply_adds(1) * ROUNDS

    def read() -> None:
        for _ in range(again):
            ndarray_backend_cpu.read_floats(memory)

    multiply = _least(lambda: ndarray_backend_cpu.multiply_adds(ROUNDS))
    return Roofline(work / multiply, again * memory.nbytes / _least(read))


def _least(run: Callable[[], object]) -> float:
    """The shortest of several times: whatever else runs on the machine only adds."""
    times = []
    for _ in range(TRIES):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def costs(program: Program, times: Sequence[Sequence[float]], sizes: dict[str, int], limit: Roofline) -> list[Cost]:
    """What each call cost, from the seconds of the calls in several runs."""
    found = []
    for call, seconds in zip(program.calls, numpy.median(numpy.array(times), axis=0), strict=True):
        sums, touched = work(call, sizes), moved(call, sizes)
        found.append(Cost(call, float(seconds), sums, touched, limit.seconds(sums, touched)))
    return found


def work(call: Call, sizes: Mapping[str, int]) -> int:
    """The multiply-adds of a call."""
    return KERNELS[call.kernel].work(*(size_at(n, sizes) for n in call.sizes))


def moved(call: Call, sizes: Mapping[str, int]) -> int:
    """The bytes that a call reads and writes, each once."""
    return sum({_key(view): _bytes(view, sizes) for view in call.operands}.values())


def _key(view: View) -> tuple[int, str]:
    return id(view.buffer), str((view.shape, view.offset))


def _bytes(view: View, sizes: Mapping[str, int]) -> int:
    """Of the elements that a view has in memory; what is repeated counts once."""
    kept = [n for n, step in zip(view.shape, view.strides, strict=True) if not (isinstance(step, int) and step == 0)]
    return TYPES[view.dtype].bytes * math.prod(size_at(n, sizes) for n in kept)
