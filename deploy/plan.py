"""The memory plan: every intermediate value gets an offset in one arena; values that never live together share memory.

Sizes are linear: so many floats for each item of the batch, or a fixed number, or so many for each thread. The arena
has one region for each of the three; inside a region offsets scale with it, so one plan holds for every batch size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

REGIONS = ("item", "fixed", "thread")
ALIGNMENT = 16  # floats: one cache line


@dataclass(frozen=True)
class Lifetime:
    """A buffer of `floats` per unit of `region`, needed from step `first` to step `last`, both included."""

    floats: int
    region: str
    first: int
    last: int


@dataclass(frozen=True)
class Plan:
    """`offsets[i]` of buffer i in its region, in floats per unit; `totals[region]` floats per unit."""

    offsets: tuple[int, ...]
    totals: dict[str, int]

    def floats(self, batch: int, threads: int) -> int:
        """The size of the arena."""
        return self.totals["item"] * batch + self.totals["fixed"] + self.totals["thread"] * threads


def plan(buffers: Sequence[Lifetime]) -> Plan:
    """Offsets such that no two buffers that live at the same step overlap: largest first, each in the tightest gap."""
    offsets = [0] * len(buffers)
    totals = dict.fromkeys(REGIONS, 0)
    placed: list[int] = []
    for i in sorted(range(len(buffers)), key=lambda i: (-buffers[i].floats, buffers[i].first)):
        buffer = buffers[i]
        size = rounded(buffer.floats)
        taken = sorted(
            (offsets[j], offsets[j] + rounded(buffers[j].floats)) for j in placed if _meet(buffers[j], buffer)
        )
        offsets[i] = _tightest_gap(taken, size)
        totals[buffer.region] = max(totals[buffer.region], offsets[i] + size)
        placed.append(i)
    return Plan(tuple(offsets), totals)


def rounded(floats: int) -> int:
    """The number of floats in whole cache lines."""
    return -(-floats // ALIGNMENT) * ALIGNMENT


def _meet(a: Lifetime, b: Lifetime) -> bool:
    """Whether both are in one region and live at a common step."""
    return a.region == b.region and a.first <= b.last and b.first <= a.last


def _tightest_gap(taken: Sequence[tuple[int, int]], size: int) -> int:
    """The start of the smallest gap between the sorted intervals `taken` that holds `size`, else behind them all."""
    best, best_room, end = -1, 0, 0
    for start, stop in taken:
        room = start - end
        if room >= size and (best < 0 or room < best_room):
            best, best_room = end, room
        end = max(end, stop)
    return end if best < 0 else best
