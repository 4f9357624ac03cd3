"""The memory plan: what lives together never overlaps, what does not may share."""

from __future__ import annotations

import numpy as np
import pytest

from deploy.plan import ALIGNMENT, BATCH, THREADS, UNITS, Lifetime, plan, rounded
from needle.sizes import dim, size_at, unit

TIME = dim("time", 13)
REGIONS = (*UNITS, BATCH * TIME, TIME // 2)


@pytest.mark.parametrize("seed", range(20))
def test_live_buffers_never_overlap(seed: int) -> None:
    draw = np.random.default_rng(seed)
    buffers, regions = [], []
    for _ in range(100):
        first = int(draw.integers(0, 40))
        regions.append(REGIONS[int(draw.integers(len(REGIONS)))])
        buffers.append(Lifetime(int(draw.integers(1, 500)) * regions[-1], first, first + int(draw.integers(0, 8))))
    found = plan(buffers)
    for sizes in ({"batch": 1, "time": 2, "threads": 1}, {"batch": 9, "time": 31, "threads": 3}):
        starts = [size_at(sum(found.totals[:k]), sizes) for k in range(len(found.totals))]
        spans = [
            (starts[k] + size_at(offset, sizes), starts[k] + size_at(offset + x.floats, sizes))
            for k, offset, x in zip(found.regions, found.offsets, buffers, strict=True)
        ]
        for i, (begin, end) in enumerate(spans):
            assert begin % ALIGNMENT == 0 and end <= size_at(found.floats, sizes)
            for j, (other, stop) in enumerate(spans[:i]):
                if buffers[i].first <= buffers[j].last and buffers[j].first <= buffers[i].last:
                    assert end <= other or stop <= begin
    for region in REGIONS:
        mine = [(x, unit(x.floats)[0]) for x, r in zip(buffers, regions, strict=True) if repr(r) == repr(region)]
        peak = max(sum(rounded(n) for x, n in mine if x.first <= step <= x.last) for step in range(48))
        (total,) = (unit(n)[0] for n in found.totals if repr(unit(n)[1]) == repr(region))
        assert peak <= total <= 1.5 * peak


def test_a_chain_needs_two_places() -> None:
    found = plan([Lifetime(100 * BATCH, step, step + 1) for step in range(10)])
    assert repr(found.floats) == f"{2 * rounded(100)}*batch" and len(found.totals) == len(UNITS)
    assert plan([]).floats == 0


def test_the_tightest_gap_is_taken() -> None:
    sizes = [(96, 0, 0), (80, 0, 9), (64, 0, 0), (48, 0, 9), (32, 1, 1)]  # the first and third leave gaps of 96 and 64
    found = plan([Lifetime(*x) for x in sizes])
    assert found.offsets == (0, 96, 176, 240, 176) and found.totals == (0, 288, 0)
    assert repr(plan([Lifetime(3 * THREADS, 0, 0)]).floats) == "16*threads"
