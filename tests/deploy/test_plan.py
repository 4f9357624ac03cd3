"""The memory plan: what lives together never overlaps, what does not may share."""

from __future__ import annotations

import numpy as np
import pytest

from deploy.plan import ALIGNMENT, REGIONS, Lifetime, plan, rounded


@pytest.mark.parametrize("seed", range(20))
def test_live_buffers_never_overlap(seed: int) -> None:
    draw = np.random.default_rng(seed)
    buffers = []
    for _ in range(60):
        first = int(draw.integers(0, 40))
        size, region = int(draw.integers(0, 500)), REGIONS[int(draw.integers(3))]
        buffers.append(Lifetime(size, region, first, first + int(draw.integers(0, 8))))
    found = plan(buffers)
    for i, a in enumerate(buffers):
        assert found.offsets[i] % ALIGNMENT == 0
        assert found.offsets[i] + a.floats <= found.totals[a.region]
        for j, b in enumerate(buffers[:i]):
            if a.region == b.region and a.first <= b.last and b.first <= a.last and a.floats and b.floats:
                assert (
                    found.offsets[i] + a.floats <= found.offsets[j] or found.offsets[j] + b.floats <= found.offsets[i]
                )
    peak = {region: max(_alive(buffers, region, step) for step in range(48)) for region in REGIONS}
    assert all(peak[r] <= found.totals[r] <= 1.5 * peak[r] for r in REGIONS)


def _alive(buffers: list[Lifetime], region: str, step: int) -> int:
    return sum(rounded(b.floats) for b in buffers if b.region == region and b.first <= step <= b.last)


def test_a_chain_needs_two_places() -> None:
    chain = [Lifetime(100, "item", step, step + 1) for step in range(10)]
    found = plan(chain)
    assert found.totals["item"] == 2 * rounded(100)
    assert found.floats(batch=5, threads=3) == 5 * 2 * rounded(100)


def test_the_tightest_gap_is_taken() -> None:
    sizes = [(96, 0, 0), (80, 0, 9), (64, 0, 0), (48, 0, 9), (32, 1, 1)]  # the first and third leave gaps of 96 and 64
    found = plan([Lifetime(floats, "fixed", first, last) for floats, first, last in sizes])
    assert found.offsets == (0, 96, 176, 240, 176) and found.totals["fixed"] == 288
