"""The curves of a model's runs as a picture: SVG made of nothing but numbers, the same bytes for the same runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import NamedTuple

from .runs import Run

WIDTH, HEIGHT = 360, 240  # of a panel, in pixels
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 34, 38  # around its axes
LETTER, GAP, ROW = 7, 16, 14  # of the legend: the width of a letter, between two names, and the height of a row
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000")  # also to the colour-blind (Okabe and Ito 2008)
HIDDEN = ("epoch", "step", "lr", "seconds", "grad_norm")

Points = list[tuple[float, float]]


class Panel(NamedTuple):
    """One pair of axes: its title, and the lines of each column, one for every run that has it."""

    title: str
    lines: dict[str, list[Points]]


def panels(runs: Sequence[Run]) -> list[Panel]:
    """The losses, Fréchet distances, and what lies between 0 and 1 (accuracies, probabilities), over the epochs."""
    found: dict[str, dict[str, list[Points]]] = {"loss": {}, "Fréchet distance": {}, "fraction": {}}
    for run in runs:
        epochs = run.log.get("epoch", [])
        for name, column in run.log.items():
            pairs = zip(epochs, column, strict=False)
            points = [(float(x), float(y)) for x, y in pairs if x is not None and y is not None]
            if name in HIDDEN or not points or not all(math.isfinite(y) for _, y in points):
                continue
            if "loss" in name:
                found["loss"].setdefault(name, []).append(points)
            elif "frechet" in name:
                found["Fréchet distance"].setdefault(name, []).append(points)
            elif all(0 <= y <= 1 for _, y in points):
                found["fraction"].setdefault(name, []).append(points)
    return [Panel(title, lines) for title, lines in found.items() if lines]


def ticks(low: float, high: float, most: int = 7) -> list[float]:
    """At most `most` round numbers from `low` to `high`."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * factor for factor in (1, 2, 5, 10, 20) if span / (power * factor) <= most - 1)
    first = math.ceil(low / step - 1e-9)
    return [float(f"{i * step:.10g}") for i in range(first, math.floor(high / step + 1e-9) + 1)]


def svg(name: str, runs: Sequence[Run]) -> str:
    """The panels side by side; empty text where the runs have no log."""
    found = panels(runs)
    if not found:
        return ""
    width = WIDTH * len(found)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" width="{width}" height="{HEIGHT}" '
        f'font-family="sans-serif" font-size="11" role="img" aria-label="{escape(name)}: curves of its training">'
    )
    parts = [head, f'<rect width="{width}" height="{HEIGHT}" fill="#fff"/>']
    for place, panel in enumerate(found):
        parts += [f'<g transform="translate({WIDTH * place} 0)">', *_drawn(panel), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def _drawn(panel: Panel) -> Iterator[str]:
    every = [point for lines in panel.lines.values() for points in lines for point in points]
    xs, ys = [x for x, _ in every], [y for _, y in every]
    low, high = min(ys), max(ys)
    pad = 0.05 * ((high - low) or abs(high) or 1)
    low, high = low - pad, high + pad
    first, last = min(xs), max(max(xs), min(xs) + 1)
    names = legend(panel.lines)
    top = TOP + names[-1][1] - names[0][1]

    def across(x: float) -> float:
        return LEFT + (x - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def down(y: float) -> float:
        return HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - top - BOTTOM)

    for y in ticks(low, high):
        yield f'<path d="M{LEFT} {down(y):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
        yield f'<text x="{LEFT - 5}" y="{down(y) + 4:.1f}" text-anchor="end">{y:g}</text>'
    for x in (x for x in ticks(first, last) if x == int(x)):
        yield f'<text x="{across(x):.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{x:g}</text>'
    yield f'<path d="M{LEFT} {top}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" fill="none" stroke="#555"/>'
    yield f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 8}" text-anchor="middle">epoch</text>'
    for place, (name, lines) in enumerate(panel.lines.items()):
        colour = COLOURS[place % len(COLOURS)]
        for points in lines:
            path = "L".join(f"{across(x):.1f} {down(y):.1f}" for x, y in points)
            yield f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        x, y = names[place]
        yield f'<text x="{x}" y="{y}" fill="{colour}" font-weight="bold">{escape(label(name))}</text>'


def legend(columns: Iterable[str]) -> list[tuple[int, int]]:
    """Where the name of each column begins, in rows of the panel's width."""
    found: list[tuple[int, int]] = []
    x, y = LEFT, 20
    for name in columns:
        width = LETTER * len(label(name))
        if found and x + width > WIDTH - RIGHT:
            x, y = LEFT, y + ROW
        found.append((x, y))
        x += GAP + width
    return found


def label(column: str) -> str:
    """The name of a column as people read it."""
    return column.removeprefix("val_").replace("_", " ") + (" (test)" if column.startswith("val_") else "")


BARS = "▁▂▃▄▅▆▇█"


def sparkline(column: Sequence[float | None], most: int = 40) -> str:
    """A column of numbers as a row of bars, for a terminal: from the lowest to the highest of them."""
    values = [value for value in column if value is not None and math.isfinite(value)]
    chosen = values[:: max(1, math.ceil(len(values) / most))]
    low, high = min(chosen, default=0.0), max(chosen, default=0.0)
    return "".join(BARS[round((value - low) / ((high - low) or 1) * (len(BARS) - 1))] for value in chosen)
