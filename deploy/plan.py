"""The memory plan: every intermediate value gets an offset in one arena; values that never live together share memory.

A buffer has so many floats for each unit of a size: for each item of a batch, once, for each thread, for each token of
each row. The arena has one region for each unit; inside a region offsets scale with it, so one plan holds for every
value of the named dims.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from needle.sizes import dim, unit

BATCH, THREADS = dim("batch", 7), dim("threads", 5)
UNITS = (BATCH, 1, THREADS)  # the regions that every arena has, in this order, before any others
ALIGNMENT = 16  # floats: one cache line


@dataclass(frozen=True)
class Lifetime:
    """A buffer of `floats`, needed from step `first` to step `last`, both included."""

    floats: int
    first: int
    last: int


@dataclass(frozen=True)
class Plan:
    """Buffer i is at `offsets[i]` of region `regions[i]`; region k has `totals[k]` floats. Offsets may be sizes."""

    regions: tuple[int, ...]
    offsets: tuple[int, ...]
    totals: tuple[int, ...]

    @property
    def floats(self) -> int:
        """The size of the arena."""
        return sum(self.totals)


def plan(buffers: Sequence[Lifetime]) -> Plan:
    """Offsets such that no two buffers that live at the same step overlap: largest first, each in the tightest gap."""
    counts, units = zip(*map(unit, (x.floats for x in buffers)), strict=True) if buffers else ((), ())
    names = [*map(repr, UNITS), *dict.fromkeys(repr(u) for u in units if repr(u) not in map(repr, UNITS))]
    scales = dict(zip(map(repr, UNITS), UNITS, strict=True)) | {repr(u): u for u in units}
    regions = [names.index(repr(u)) for u in units]
    offsets, totals, placed = [0] * len(buffers), [0] * len(names), list[int]()
    for i in sorted(range(len(buffers)), key=lambda i: (-counts[i], buffers[i].first)):
        size = rounded(counts[i])
        taken = sorted(
            (offsets[j], offsets[j] + rounded(counts[j]))
            for j in placed if regions[j] == regions[i] and _meet(buffers[j], buffers[i])
        )  # fmt: skip
        offsets[i] = _tightest_gap(taken, size)
        totals[regions[i]] = max(totals[regions[i]], offsets[i] + size)
        placed.append(i)
    scaled = [offset * scales[names[region]] for offset, region in zip(offsets, regions, strict=True)]
    return Plan(tuple(regions), tuple(scaled), tuple(n * scales[name] for n, name in zip(totals, names, strict=True)))


def rounded(floats: int) -> int:
    """The number of floats in whole cache lines."""
    return -(-floats // ALIGNMENT) * ALIGNMENT


def _meet(a: Lifetime, b: Lifetime) -> bool:
    """Whether both live at a common step."""
    return a.first <= b.last and b.first <= a.last


def _tightest_gap(taken: Sequence[tuple[int, int]], size: int) -> int:
    """The start of the smallest gap between the sorted intervals `taken` that holds `size`, else behind them all."""
    best, best_room, end = -1, 0, 0
    for start, stop in taken:
        room = start - end
        if room >= size and (best < 0 or room < best_room):
            best, best_room = end, room
        end = max(end, stop)
    return end if best < 0 else best
