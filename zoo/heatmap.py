"""A confusion matrix as a picture: SVG made of nothing but numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

CELL, LEFT, TOP, MARGIN = 40, 84, 92, 8  # of a cell, and around the cells, in pixels; longer names need more
LETTER, TILT = 7, math.radians(60)  # the width of a letter, and the angle of the names above the columns
RIGHT, WRONG = (0, 114, 178), (213, 94, 0)  # blue and orange, told apart by colour-blind people too


def heatmap(name: str, labels: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Rows are labels, columns what they were taken for; the darker, the larger a part of its row.

    A mistake is shaded by the square root of its part, so that the rarer ones are seen.
    """
    longest = LETTER * max(map(len, labels))
    left, top = max(LEFT, longest + MARGIN), max(TOP, round(longest * math.sin(TILT)) + 3 * MARGIN)
    ends = (CELL * (place + 0.5) + LETTER * len(label) * math.cos(TILT) for place, label in enumerate(labels))
    width, height = left + max(CELL * len(labels), round(max(ends))) + MARGIN, top + CELL * len(labels) + MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="12" role="img" aria-label="{escape(name)}: confusion matrix">'
    )
    parts = [head, f'<rect width="{width}" height="{height}" fill="#fff"/>']
    for place, label in enumerate(labels):
        middle = place * CELL + CELL / 2
        x, y = left + middle + 4, top - 8
        parts.append(f'<text x="{left - 8}" y="{top + middle + 4:g}" text-anchor="end">{escape(label)}</text>')
        parts.append(f'<text x="{x:g}" y="{y}" transform="rotate(-60 {x:g} {y})">{escape(label)}</text>')
    return "\n".join([*parts, *_cells(counts, left, top), "</svg>", ""])


def _cells(counts: Sequence[Sequence[int]], left: int, top: int) -> Iterator[str]:
    for i, row in enumerate(counts):
        for j, count in enumerate(row):
            part = count / max(sum(row), 1)
            depth = part if i == j else math.sqrt(part)
            x, y = left + CELL * j, top + CELL * i
            fill = shade(RIGHT if i == j else WRONG, depth)
            yield f'<rect x="{x}" y="{y}" width="{CELL - 1}" height="{CELL - 1}" fill="{fill}"/>'
            if count:
                ink = "#fff" if depth > 0.5 else "#000"
                middle = f'x="{x + (CELL - 1) / 2:g}" y="{y + CELL / 2 + 4:g}" text-anchor="middle"'
                yield f'<text {middle} fill="{ink}">{count}</text>'


def shade(colour: tuple[int, int, int], depth: float) -> str:
    """From nearly white, at depth 0, to the colour, at depth 1."""
    return "#" + "".join(f"{round(246 + (part - 246) * depth):02x}" for part in colour)
