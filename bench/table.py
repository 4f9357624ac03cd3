"""Rows of measurements as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.load import percent
from bench.timing import NOISY, Comparison

LEGEND = (
    "The programs of a row take turns, A B, B A, and so on. Times are medians; the ratio is the median of the rounds'\n"
    "ratios, not the ratio of the medians: what slows both turns of a round leaves its ratio as it is. The spread is\n"
    "the relative interquartile range of these ratios, (Q3 - Q1) / median; rows with a spread above "
    f"{percent(NOISY)} are marked\n*noisy*: their ratios say little."
)


@dataclass(frozen=True)
class Row:
    """One line: two median times in seconds (or bytes) and their comparison, or a note that says why there is none."""

    name: str
    first: float | None = None
    second: float | None = None
    label: str = ""  # the name of the second program
    ratio: float | None = None
    spread: float | None = None
    note: str = ""
    lost: bool = False  # what this state of the library cannot run, the other one could
    unit: str = "s"

    @property
    def noisy(self) -> bool:
        return self.spread is not None and self.spread > NOISY

    def __str__(self) -> str:
        if self.ratio is None or self.spread is None:
            return f"| {self.name} | {quantity(self.first, self.unit)} | {self.label} | {self.note} | |"
        ratio = f"{self.ratio:.2f}x" if self.noisy else f"**{self.ratio:.2f}x**"
        spread = percent(self.spread) + (" *noisy*" if self.noisy else "")
        second = f"{quantity(self.second, self.unit)} {self.label}".rstrip()
        return f"| {self.name} | {quantity(self.first, self.unit)} | {second} | {ratio} | {spread} |"


def compared(
    name: str, first: Sequence[float], second: Sequence[float], label: str = "", invert: bool = False, unit: str = "s"
) -> Row:
    """The row of two lists of times, one of each a round; the ratio is second / first, with `invert` first / second."""
    comparison = Comparison.of(first, second) if invert else Comparison.of(second, first)
    return Row(name, median(first), median(second), label, comparison.ratio, comparison.spread, unit=unit)


def header(first: str, second: str, ratio: str) -> str:
    return f"| | {first} | {second} | {ratio} | spread |\n|---|---|---|---|---|"


SCALES = {"s": (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9)), "B": (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))}


def quantity(value: float | None, unit: str = "s") -> str:
    """Three significant digits with a multiple of the unit that suits."""
    if value is None:
        return ""
    name, scale = next(((name, scale) for name, scale in SCALES[unit] if value >= scale), SCALES[unit][-1])
    return f"{value / scale:.3g} {name}"
