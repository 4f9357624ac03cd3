"""What `needle-deploy inspect` prints and writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from needle.commands import Answer
from needle.weights import atomic_write

from .commands import Shapes, graph_of
from .errors import DeployError
from .ir import Graph, describe, listing
from .passes import kept, optimize
from .report import page, report

LISTED = 6  # numbers of nodes in a line


def inspect_command(
    path: Path, optimized: bool, shapes: Shapes = (), why: bool = False, output: Path | None = None,
    at: Sequence[tuple[str, int]] = (),
) -> Answer:  # fmt: skip
    """A graph: inputs, nodes, outputs, sizes; `why` passes left its nodes as they are; with `output` a page of it."""
    given = graph_of(path, shapes)
    if output is not None:
        return _page(given, path, output, dict(at))
    if at:
        raise DeployError("[--at] says at which sizes a page tells costs: give its path with --output")
    graph = optimize(given) if optimized or why else given
    order = graph.order()
    numbers = {node: i for i, node in enumerate(order)}
    weights = sum(array.nbytes for array in graph.weights().values())
    nodes = [{"op": str(x.op), "inputs": [numbers[y] for y in x.inputs], "type": describe(x.type)} for x in order]
    outputs = {name: numbers[node] for name, node in graph.outputs}
    kinds = Counter(type(x.op).__name__ for x in order)
    counts = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())
    lines = [*listing(graph), f"{len(order)} nodes ({counts}), {weights} bytes of weights"]
    lines += [f"{key}: {str(value)[:100]}" for key, value in graph.card.items()]
    facts: dict[str, Any] = {"nodes": nodes, "outputs": outputs, "weights_bytes": weights, "card": dict(graph.card)}
    if why:
        facts["kept"] = reasons(graph)
        lines += ["", *_reason_lines(facts["kept"])]
    return Answer(facts, "\n".join(lines))


def reasons(graph: Graph) -> list[dict[str, Any]]:
    """Which passes left which nodes of an optimised graph as they are, and why; nodes by their numbers."""
    numbers = {node: i for i, node in enumerate(graph.order())}
    found: dict[tuple[str, str, str], list[int]] = {}
    for node, rule, reason in kept(graph):
        found.setdefault((rule, type(node.op).__name__, reason), []).append(numbers[node])
    return [{"pass": p, "op": op, "reason": reason, "nodes": nodes} for (p, op, reason), nodes in found.items()]


def _reason_lines(found: Sequence[dict[str, Any]]) -> list[str]:
    if not found:
        return ["no pass left a node of its kind as it is"]
    lines = ["left as they are:"]
    for row in found:
        shown = " ".join(f"%{i}" for i in row["nodes"][:LISTED]) + " ..." * (len(row["nodes"]) > LISTED)
        lines.append(f"  {row['pass']}: {row['op']} {shown}: {row['reason']}")
    return lines


def _page(graph: Graph, path: Path, output: Path, at: dict[str, int]) -> Answer:
    """Write the page of a graph, whole or not at all."""
    text = page(report(graph, path.stem, at))
    with atomic_write(output, durable=False) as file:
        file.write(text.encode())
    facts = {"path": str(output), "bytes": output.stat().st_size}
    return Answer(facts, f"{output}: {facts['bytes']} bytes; open it in a browser")
