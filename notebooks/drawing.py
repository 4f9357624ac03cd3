"""Pictures for the notebooks: the graph of a computation, its values, its adjoints and what flows along its edges."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyBboxPatch

from needle.autograd import Value, find_topo_sort

SYMBOLS = {
    "EWiseAdd": "+", "EWiseMul": "×", "Log": "log", "Tanh": "tanh", "ReLU": "relu", "MatMul": "@", "Negate": "−",
    "CrossEntropy": "cross entropy",
}  # fmt: skip
VALUE, ADJOINT = "#1f5fa8", "#c4541a"


def draw_graph(output: Value, names: dict[Value, str], adjoints: bool = False) -> None:
    """The graph that `output` was computed from, left to right: each node by its name or op, with its value in blue.

    With `adjoints`, after `output.backward()`, the adjoint of each node in orange; where all are single numbers, also
    the share that comes back along each edge. Arrays are drawn as pictures, zero being white.
    """
    nodes: list[Any] = find_topo_sort([output])
    numbers = all(node.numpy().size == 1 for node in nodes)
    places = _places(nodes, 1.0 if numbers else 1.55)
    xs, ys = (np.array(each) for each in zip(*places.values(), strict=True))
    low = xs.min() - 0.5, ys.min() - (0.5 if numbers else 0.6)
    high = xs.max() + 0.5, ys.max() + (0.5 if numbers else 0.85)
    figure = plt.figure(figsize=(1.35 * (high[0] - low[0]), 1.35 * (high[1] - low[1])))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    axes.axis("off")
    for node in nodes:
        for k, source in enumerate(node.inputs):
            share = node.op.gradient_as_tuple(node.grad, node)[k] if numbers and adjoints else None
            _edge(axes, places[source], places[node], share)
    for node in nodes:
        label = names.get(node) or SYMBOLS.get(type(node.op).__name__, str(node.op))
        (_number if numbers else _array)(axes, node, *places[node], label, adjoints)
    plt.show()


def _places(nodes: list[Any], apart: float) -> dict[Any, tuple[float, float]]:
    """(x, y) for every node: ops stand as far right as the longest way to them, leaves just before their first use."""
    depth: dict[Any, int] = {}
    for node in nodes:
        depth[node] = 1 + max((depth[x] for x in node.inputs), default=-1)
    for node in nodes:
        if not node.inputs:
            depth[node] = min((depth[user] for user in nodes if any(node is x for x in user.inputs)), default=1) - 1
    places: dict[Any, tuple[float, float]] = {}
    for x in range(max(depth.values()) + 1):
        column = [node for node in nodes if depth[node] == x]
        heights = [np.mean([places[source][1] for source in node.inputs] or [0]) for node in column]
        free = len(column) == 1
        for k, (node, height) in enumerate(zip(column, heights, strict=True)):
            places[node] = (1.3 * x, height if free else apart * ((len(column) - 1) / 2 - k))
    return places


def _edge(axes: Any, start: tuple[float, float], end: tuple[float, float], share: Any) -> None:
    ahead = np.subtract(end, start)
    unit = ahead / np.hypot(*ahead)
    style: Any = {"arrowstyle": "-|>", "color": "#999999", "lw": 1.2}
    axes.annotate("", xy=end - 0.42 * unit, xytext=start + 0.42 * unit, arrowprops=style)
    if share is not None:
        text: Any = {"color": ADJOINT, "size": 9, "ha": "center", "va": "center"}
        place = start + 0.4 * ahead
        axes.text(*place, f"{share.numpy().item():.3g}", bbox={"fc": "white", "ec": "none", "pad": 1.5}, **text)


def _number(axes: Any, node: Any, x: float, y: float, label: str, adjoints: bool) -> None:
    shape = "round,pad=0,rounding_size=0.12"
    colour = "#eaf1fa" if node.op is None else "white"
    axes.add_patch(FancyBboxPatch((x - 0.33, y - 0.32), 0.66, 0.64, boxstyle=shape, fc=colour, ec="#555555"))
    lines = [(label, "black", 12), (f"{node.numpy().item():.3g}", VALUE, 10)]
    if adjoints:
        lines.append((f"{node.grad.numpy().item():.3g}", ADJOINT, 10))
    for k, (text, colour, size) in enumerate(lines):
        height = y + 0.2 * ((len(lines) - 1) / 2 - k)
        axes.text(x, height, text, color=colour, size=size, ha="center", va="center")


def _array(axes: Any, node: Any, x: float, y: float, label: str, adjoints: bool) -> None:
    axes.text(x, y + 0.72, label, size=11, ha="center", va="center")
    axes.text(x, y + 0.56, "×".join(map(str, node.shape)) or "1", size=8, color="#777777", ha="center", va="center")
    pictures = [(node.numpy(), VALUE)]
    if adjoints:
        pictures.append((None if node.grad is None else node.grad.numpy(), ADJOINT))
    for k, (values, colour) in enumerate(pictures):
        if values is None:
            continue
        width, height = 0.6, 0.42
        box = (x - width / 2, y + 0.06 - 0.52 * k, width, height)
        picture = axes.inset_axes(box, transform=axes.transData)
        values = values.reshape(len(values), -1) if values.ndim else values.reshape(1, 1)
        most = max(abs(values).max(), 1e-9)
        picture.imshow(values, cmap=_colours(colour), vmin=-most, vmax=most, aspect="auto")
        picture.set(xticks=[], yticks=[])
        plt.setp(picture.spines.values(), color=colour, linewidth=1.5)


def _colours(colour: str) -> Any:
    """From black for the most negative over white for zero to `colour`."""
    return plt.matplotlib.colors.LinearSegmentedColormap.from_list(colour, ["#333333", "white", colour])
