"""Everything that the page of a graph shows, as plain data (JSON)."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from needle.sizes import size_at

from ..errors import DeployError, EmitError
from ..ir import Graph, Node, describe, dims, parts
from ..lower import lower
from ..passes import PIPELINE, kept, optimize
from ..program import FLOAT, Program, floats_of
from . import costs
from .drawing import HEIGHT, WIDTH, draw
from .history import History
from .nodes import Drawn
from .weights import weights


def sizes_at(graph: Graph, given: Mapping[str, int]) -> dict[str, int]:
    """The sizes at which costs are told: those given, `batch` 1, of others the largest, or the least where none is.

    Raises DeployError for a name that there is not, or a size out of its bounds.
    """
    named = dims(graph)
    for name, size in given.items():
        if name not in named:
            known = ", ".join(named) or "none"
            raise DeployError(f"[--at] '{name}' is no open size of the graph; its open sizes: {known}")
        low, high = named[name].low, named[name].high
        if size < low or (high is not None and size > high):
            raise DeployError(f"[--at] {name} must be {low} to {high or 'any size'}, got {size}")
    usual = {name: dim.low if name == "batch" else dim.high or dim.low for name, dim in named.items()}
    return {**usual, **given}


def report(graph: Graph, name: str, given: Mapping[str, int] | None = None) -> dict[str, Any]:
    """The graph before and after the passes, what these did, the program's calls and memory, and the weights."""
    sizes = sizes_at(graph, given or {})
    history = History(graph)
    optimized = optimize(graph, history)
    program, refused = _lowered(optimized)
    before, after = Drawn(graph), Drawn(optimized)
    rows = weights(graph)
    return {
        "name": name,
        "card": dict(graph.card),
        "inputs": [{"name": x.op.name, "type": describe(x.type)} for x in graph.given],
        "outputs": [{"name": key, "type": describe(x.type)} for key, x in graph.results],
        "dims": [{"name": x.name, "low": x.low, "high": x.high} for x in dims(graph).values()],
        "sizes": sizes,
        "state_bytes": sum(_bytes(x, sizes) for x in graph.inputs if x not in graph.given),
        "node": {"width": WIDTH, "height": HEIGHT},
        "before": _drawn(before),
        "after": _with_history(_drawn(after), after, before, history, program),
        "passes": _passes(history),
        "program": _program(program, sizes) if program else None,
        "refused": refused,
        "weights": rows,
        "weights_bytes": sum(row["bytes"] for row in rows),
    }


def _lowered(graph: Graph) -> tuple[Program | None, str | None]:
    """The program, or why there is none."""
    try:
        return lower(graph), None
    except EmitError as error:
        return None, str(error)


def _bytes(node: Node, sizes: Mapping[str, int]) -> int:
    return sum(FLOAT * size_at(floats_of(part), sizes) for part in parts(node.type))


def _drawn(drawn: Drawn) -> dict[str, Any]:
    """The nodes with their places, and the edges."""
    nodes = drawn.facts()
    places, edges, (width, height) = draw([node["reads"] for node in nodes])
    for node, (x, y) in zip(nodes, places, strict=True):
        node |= {"x": x, "y": y}
    lines = [{"from": a, "to": b, "points": points} for a, b, points in edges]
    return {"nodes": nodes, "edges": lines, "width": width, "height": height, "all": len(drawn.graph.order())}


def _with_history(
    facts: dict[str, Any], after: Drawn, before: Drawn, history: History, program: Program | None
) -> dict[str, Any]:
    """Of each node also: what it was made of, by which passes, which left it as it is and why, its calls."""
    calls: dict[int, list[int]] = {}
    for k, call in enumerate(program.calls if program else ()):
        if call.node in after.index:
            calls.setdefault(after.index[call.node], []).append(k)
    for i, (node, said) in enumerate(zip(after.nodes, facts["nodes"], strict=True)):
        made_of = {before.index[x] for x in history.origins.get(node, ()) if x in before.index}
        said |= {"origins": sorted(made_of), "passes": list(history.passes[node]), "kept": []}
        said["calls"] = calls.get(i, [])
    for node, rule, reason in kept(after.graph):
        if node in after.index:
            facts["nodes"][after.index[node]]["kept"].append({"pass": rule, "reason": reason})
    return facts


def _passes(history: History) -> list[dict[str, Any]]:
    """The passes in the order in which they first run: what each does, and how many nodes it replaced."""
    return [
        {
            "name": rule.__name__,
            "equation": (inspect.getdoc(rule) or "").partition("\n")[0],
            "applied": history.applied[rule.__name__],
        }
        for rule in dict.fromkeys(PIPELINE)
    ]


def _program(program: Program, sizes: Mapping[str, int]) -> dict[str, Any]:
    at = {**sizes, "threads": 1}
    return {
        "calls": costs.calls(program, at), "arena": costs.arena(program, at),
        "weights_bytes": FLOAT * program.block_floats,
    }  # fmt: skip
