"""Where the nodes of a graph are drawn: in layers, inputs above what reads them (Sugiyama, Tagawa and Toda, 1981).

Layer by longest path, points on the way of edges that cross layers, order by barycentres, then places that are as near
to the neighbours' as the distances allow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

Point = tuple[float, float]

WIDTH, HEIGHT = 212, 58  # of a node
ACROSS, DOWN = 26, 30  # between nodes of a layer, and between layers
LINE = 18  # the room of an edge that passes a layer
SWEEPS = 12
STRAIGHT = 8  # how much more an edge to a node beside it weighs than one that passes layers


def layers(reads: Sequence[Sequence[int]]) -> list[int]:
    """The layer of each node, which comes after what it reads; what reads nothing is right above its first reader."""
    found = [0] * len(reads)
    for i, inputs in enumerate(reads):
        found[i] = 1 + max((found[x] for x in inputs), default=-1)
    first: dict[int, int] = {}
    for i, inputs in enumerate(reads):
        for x in inputs:
            first[x] = min(first.get(x, found[i]), found[i])
    return [first.get(i, 1) - 1 if not inputs else found[i] for i, inputs in enumerate(reads)]


def draw(reads: Sequence[Sequence[int]]) -> tuple[list[Point], list[tuple[int, int, list[Point]]], Point]:
    """The middle of each node, the edges (from, to, points on the way), and the size of the drawing.

    `reads[i]` are the nodes that node i reads, all of them before i.
    """
    if not reads:
        return [], [], (0, 0)
    layer = layers(reads)
    rows: list[list[int]] = [[] for _ in range(max(layer) + 1)]
    for i, row in enumerate(layer):
        rows[row].append(i)
    near: list[tuple[list[int], list[int]]] = [([], []) for _ in reads]  # those above, those below; points behind nodes
    trunks: list[list[int]] = [[x] for x in range(len(reads))]  # of the edges from a node: it, a point a layer
    for i, inputs in enumerate(reads):
        for x in inputs:
            while len(trunks[x]) < layer[i] - layer[x]:
                rows[layer[x] + len(trunks[x])].append(len(near))
                near.append(([trunks[x][-1]], []))
                near[trunks[x][-1]][1].append(len(near) - 1)
                trunks[x].append(len(near) - 1)
            last = trunks[x][layer[i] - layer[x] - 1]
            near[last][1].append(i)
            near[i][0].append(last)
    _order(rows, near)
    at = _places(rows, near, len(reads))
    left = min(x - _room(i, len(reads)) / 2 for i, x in enumerate(at))
    right = max(x + _room(i, len(reads)) / 2 for i, x in enumerate(at))
    height = [0.0] * len(at)
    for row, members in enumerate(rows):
        for i in members:
            height[i] = row * (HEIGHT + DOWN) + HEIGHT / 2 + ACROSS
    middle = [(round(x - left + ACROSS, 1), y) for x, y in zip(at, height, strict=True)]
    pairs = [(x, i) for i, inputs in enumerate(reads) for x in inputs]
    edges = [(x, i, [middle[p] for p in trunks[x][1 : layer[i] - layer[x]]]) for x, i in pairs]
    size = (round(right - left + 2 * ACROSS, 1), len(rows) * (HEIGHT + DOWN) - DOWN + 2 * ACROSS)
    return middle[: len(reads)], edges, size


def _order(rows: list[list[int]], near: Sequence[tuple[list[int], list[int]]]) -> None:
    """Sort each layer by the mean place of its neighbours, downwards and upwards in turn."""
    place = {i: float(k) for row in rows for k, i in enumerate(row)}
    for sweep in range(SWEEPS):
        side = sweep % 2
        for row in rows if side == 0 else reversed(rows):
            wanted = {i: fmean(place[x] for x in near[i][side] or [i]) for i in row}
            row.sort(key=wanted.__getitem__)
            place.update({i: k - len(row) / 2 for k, i in enumerate(row)})


def _places(rows: Sequence[Sequence[int]], near: Sequence[tuple[list[int], list[int]]], nodes: int) -> list[float]:
    """The place of each node and point across: near its neighbours, those beside it above all."""
    at = [0.0] * len(near)
    for row in rows:
        for i, x in zip(row, _apart(row, [0.0] * len(row), nodes), strict=True):
            at[i] = x
    for sweep in range(2 * SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wanted = [_between(near[i][sweep % 2] or near[i][1 - sweep % 2], at, nodes, at[i]) for i in row]
            for i, x in zip(row, _apart(row, wanted, nodes), strict=True):
                at[i] = x
    return at


def _apart(row: Sequence[int], wanted: Sequence[float], nodes: int) -> Iterator[float]:
    """The places nearest to the wanted ones, in the weighted mean square, that keep the order and the room of each.

    With the room subtracted it is monotone regression, by merging neighbours that are in the wrong order.
    """
    rooms = [_room(i, nodes) for i in row]
    before = [sum(rooms[:k]) + rooms[k] / 2 for k in range(len(row))]
    blocks: list[tuple[float, int, int]] = []  # (mean, weight, how many)
    for i, x, room in zip(row, wanted, before, strict=True):
        mean, weight, many = x - room, _weight(i, nodes), 1
        while blocks and blocks[-1][0] > mean:
            other, heavy, more = blocks.pop()
            mean, weight, many = (mean * weight + other * heavy) / (weight + heavy), weight + heavy, many + more
        blocks.append((mean, weight, many))
    found = iter(before)
    for mean, _, many in blocks:
        for _ in range(many):
            yield mean + next(found)


def _room(i: int, nodes: int) -> float:
    return WIDTH + ACROSS if i < nodes else LINE


def _weight(i: int, nodes: int) -> int:
    return STRAIGHT if i < nodes else 1


def _between(near: Sequence[int], at: Sequence[float], nodes: int, otherwise: float) -> float:
    """The weighted mean of the neighbours' places."""
    weights = [_weight(x, nodes) for x in near]
    return sum(w * at[x] for w, x in zip(weights, near, strict=True)) / sum(weights) if near else otherwise
