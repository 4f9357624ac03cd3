"""Two programs measured side by side: interleaved A B A B, medians, so that a drifting machine favours neither."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

LASTS = 0.02  # seconds that one measurement lasts at least: short functions are called many times


def interleaved(
    ours: Callable[[], object], peer: Callable[[], object], rounds: int = 15, warm: bool = True
) -> tuple[float, float]:
    """Median seconds of one call of each, measured in turn after one round that does not count.

    A short pause before each turn lets the other library's idle threads, which spin for a while after their last task,
    go to sleep: otherwise they would take a core from the one being measured. Then, unless `warm` is False, the
    function runs for a quarter of LASTS uncounted, so that caches and its own threads are as in the middle of a run.
    """
    calls = max(1, round(LASTS / max(_seconds(ours, 1), _seconds(peer, 1), 1e-9)))
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds + 1):
        for function, kept in zip((ours, peer), times, strict=True):
            time.sleep(0.02)
            if warm:
                _seconds(function, max(1, calls // 4))
            elapsed = _seconds(function, calls) / calls
            if turn:
                kept.append(elapsed)
    return statistics.median(times[0]), statistics.median(times[1])


def _seconds(function: Callable[[], object], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return time.perf_counter() - start


def report(name: str, ours: float, peer: float | None, peer_name: str, cost: bool = False) -> None:
    """Print one measurement as a line of JSON, which `python -m bench` collects.

    `cost` says that the peer is what ours is made of, so that the ratio to show is ours over the peer's.
    """
    row = {"name": name, "ours": ours, "peer": peer, "peer_name": peer_name, "unit": "s", "cost": cost}
    print(json.dumps(row), flush=True)
