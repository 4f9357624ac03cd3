"""Two programs measured side by side: interleaved A B A B, medians, so that a drifting machine favours neither."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable


def interleaved(
    ours: Callable[[], object], peer: Callable[[], object], rounds: int = 15, inner: int = 1, warm: bool = True
) -> tuple[float, float]:
    """Median seconds of one call of each, measured in turn after one warm-up round.

    `inner` calls are timed together, after one that is not when `warm`. A short pause before each turn lets the other
    library's idle threads, which spin for a while after their last task, go to sleep: otherwise they would take a core
    from the one being measured.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds + 1):
        for function, kept in zip((ours, peer), times, strict=True):
            time.sleep(0.02)
            if warm:  # caches and threads
                function()
            start = time.perf_counter()
            for _ in range(inner):
                function()
            elapsed = (time.perf_counter() - start) / inner
            if turn:
                kept.append(elapsed)
    return statistics.median(times[0]), statistics.median(times[1])


def report(name: str, ours: float, peer: float | None, peer_name: str) -> None:
    """Print one measurement as a line of JSON, which `python -m bench` collects."""
    print(json.dumps({"name": name, "ours": ours, "peer": peer, "peer_name": peer_name, "unit": "s"}), flush=True)
