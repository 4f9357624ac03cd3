"""The scales of values, from running the graph on data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy

from ..instant import Instant
from ..ir import Graph, Node
from .eligible import wanted
from .rewriting import deciding
from .scales import Observed, Scale, split

BATCH = 32


def calibrate(graph: Graph, inputs: Mapping[str, numpy.ndarray]) -> dict[Node, Scale]:
    """The scale of every value that becomes bytes, seen in two runs of an optimised graph over `inputs`."""
    nodes = list(dict.fromkeys(deciding(x) for x in wanted(graph)))
    given = {x.op.name: x for x in graph.inputs}
    read = {f"v{i}": x for i, x in enumerate(nodes) if x not in given.values()}
    names = {x: name for name, x in read.items()} | {x: name for name, x in given.items()}
    seen = {x: Observed() for x in nodes}
    watching = Graph(graph.inputs, tuple(read.items()) or graph.outputs)
    with Instant(watching, max_batch=BATCH) as instant:
        for look in (Observed.widen, Observed.count):
            for part in parts(inputs):
                values = {**part, **instant.run(**part)}
                for node, observed in seen.items():
                    look(observed, values[names[node]])
    return {node: observed.scale() for node, observed in seen.items()}


def parts(inputs: Mapping[str, numpy.ndarray], size: int = BATCH) -> Iterator[dict[str, numpy.ndarray]]:
    """The rows of all inputs, `size` at a time."""
    for rows in split(len(next(iter(inputs.values()))), size):
        yield {name: array[rows] for name, array in inputs.items()}
