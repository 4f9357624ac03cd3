"""Programs measured side by side, and the arithmetic of comparing them.

The programs take turns, A B, B A, A B, ..., and each round gives one ratio of their times. A comparison is the median
of these ratios, not the ratio of the medians: what slows both turns of a round leaves its ratio as it is, but may move
one of the medians and not the other.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

NOISY = 0.15  # the spread above which a row is marked
Timer = Callable[[int], float]  # the seconds that so many calls take


@dataclass(frozen=True)
class Turns:
    """How programs take turns.

    A short pause before each turn lets the other program's idle threads, which spin for a while after their last task,
    go to sleep: otherwise they would take a core from the one being measured. Then, unless `warm` is False, the program
    runs for a quarter of a turn uncounted, so that caches and its own threads are as in the middle of a run.
    """

    rounds: int = 16  # even, so that each program comes first equally often
    lasts: float = 0.02  # seconds of one turn at least: what is short is called many times
    pause: float = 0.02  # seconds
    warm: bool = True


@dataclass(frozen=True)
class Comparison:
    """One program's time over another's: the median over the rounds, and how far the rounds are apart.

    `spread` is the relative interquartile range of the ratios r, (Q3(r) - Q1(r)) / median(r).
    """

    ratio: float
    spread: float

    @classmethod
    def of(cls, over: Sequence[float], under: Sequence[float]) -> Comparison:
        """The comparison of two lists of times, one of each a round; at least two rounds."""
        ratios = [a / b for a, b in zip(over, under, strict=True)]
        first, median, third = statistics.quantiles(ratios, n=4, method="inclusive")
        return cls(median, (third - first) / median)

    @property
    def noisy(self) -> bool:
        return self.spread > NOISY


def interleaved(timers: Sequence[Timer], turns: Turns) -> list[list[float]]:
    """For each program, the seconds of one call in each round, after one round that does not count."""
    calls = [calibrated(timer, turns.lasts) for timer in timers]
    times: list[list[float]] = [[] for _ in timers]
    for turn in range(turns.rounds + 1):
        order = range(len(timers))
        for i in order if turn % 2 else reversed(order):
            time.sleep(turns.pause)
            if turns.warm:
                timers[i](max(1, calls[i] // 4))
            elapsed = timers[i](calls[i]) / calls[i]
            if turn:
                times[i].append(elapsed)
    return times


def calibrated(timer: Timer, lasts: float) -> int:
    """How many calls last about `lasts` seconds; the first call, which may set things up, does not count."""
    calls, elapsed = 1, timer(1)
    if elapsed > 50 * lasts:  # a call of seconds: no more of them than are needed
        return 1
    while (elapsed := timer(calls)) < lasts / 4:
        calls *= 2
    return max(1, round(calls * lasts / elapsed))


def timer(function: Callable[[], Any]) -> Timer:
    """The timer of a function in this process."""

    def seconds(calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            function()
        return time.perf_counter() - start

    return seconds
