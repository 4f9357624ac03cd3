"""A confusion matrix as a picture: SVG made of nothing but numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

CELL, LEFT, TOP = 40, 84, 92  # of a cell, and around the cells, in pixels
RIGHT, WRONG = (0, 114, 178), (213, 94, 0)  # blue and orange, told apart by colour-blind people too


def heatmap(name: str, labels: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Rows are labels, columns what they were taken for; the darker, the larger a part of its row.

    A mistake is shaded by the square root of its part, so that the rarer ones are seen.
    """
    width, height = LEFT + CELL * len(labels) + 8, TOP + CELL * len(labels) + 8
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="12" role="img" aria-label="{escape(name)}: confusion matrix">'
    )
    parts = [head, f'<rect width="{width}" height="{height}" fill="#fff"/>']
    for place, label in enumerate(labels):
        middle = place * CELL + CELL / 2
        x, y = LEFT + middle + 4, TOP - 8
        parts.append(f'<text x="{LEFT - 8}" y="{TOP + middle + 4:g}" text-anchor="end">{escape(label)}</text>')
        parts.append(f'<text x="{x:g}" y="{y}" transform="rotate(-60 {x:g} {y})">{escape(label)}</text>')
    return "\n".join([*parts, *_cells(counts), "</svg>", ""])


def _cells(counts: Sequence[Sequence[int]]) -> Iterator[str]:
    for i, row in enumerate(counts):
        for j, count in enumerate(row):
            part = count / max(sum(row), 1)
            depth = part if i == j else math.sqrt(part)
            x, y = LEFT + CELL * j, TOP + CELL * i
            fill = shade(RIGHT if i == j else WRONG, depth)
            yield f'<rect x="{x}" y="{y}" width="{CELL - 1}" height="{CELL - 1}" fill="{fill}"/>'
            if count:
                ink = "#fff" if depth > 0.5 else "#000"
                middle = f'x="{x + (CELL - 1) / 2:g}" y="{y + CELL / 2 + 4:g}" text-anchor="middle"'
                yield f'<text {middle} fill="{ink}">{count}</text>'


def shade(colour: tuple[int, int, int], depth: float) -> str:
    """From nearly white, at depth 0, to the colour, at depth 1."""
    return "#" + "".join(f"{round(246 + (part - 246) * depth):02x}" for part in colour)
