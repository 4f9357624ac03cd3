"""Perplexity of a language model's graph, with or without a cache, on a text of ids."""

from __future__ import annotations

import math
from pathlib import Path

import numpy

from needle.sizes import Size

from ..errors import DeployError
from ..instant import Instant
from ..ir import Graph, dims
from .data import array_of
from .measure import TOLERANCES, Cost
from .scales import split

WINDOW, ROWS = 64, 8


def measure_text(before: Graph, after: Graph, path: Path, tolerance: float | None) -> Cost:
    """The cost in perplexity on the ids in a .npy file. Raises DeployError where the graph reads no ids."""
    ids = array_of(path).reshape(-1)
    if ids.dtype.kind not in "iu":
        raise DeployError(f"[quantize] '{path}' must hold whole numbers, the ids of a text, got {ids.dtype}")
    values = [perplexity(graph, ids) for graph in (before, after)]
    return Cost("perplexity", values[0], values[1], TOLERANCES["perplexity"] if tolerance is None else tolerance)


def perplexity(graph: Graph, ids: numpy.ndarray) -> float:
    """exp of the mean of -log p(next id), each window of the text read from its beginning."""
    rows, total, count = windows(graph, ids), 0.0, 0
    with Instant(graph, max_batch=ROWS) as engine:
        for part in split(len(rows), _together(graph)):
            logits = _logits(engine, rows[part, :-1]).astype(numpy.float64)
            logits -= logits.max(axis=-1, keepdims=True)
            logs = logits - numpy.log(numpy.exp(logits).sum(axis=-1, keepdims=True))
            total -= float(numpy.take_along_axis(logs, rows[part, 1:, None], -1).sum())
            count += rows[part, 1:].size
    return math.exp(total / count)


def windows(graph: Graph, ids: numpy.ndarray) -> numpy.ndarray:
    """(rows, steps + 1): as long as the graph takes, or WINDOW where any length does. DeployError for short texts."""
    given = {x.op.name: x for x in graph.given}
    source = given.get("ids") or next(iter(given.values()))
    if len(source.shape) != 2 or [len(x.shape) for _, x in graph.results] != [3]:
        needed = "ids (batch, time) to logits (batch, time, vocabulary)"
        raise DeployError(f"[quantize] perplexity is that of a graph from {needed}")
    size = source.shape[1]
    most = dims(graph)[str(size)].high if isinstance(size, Size) else int(size)
    steps = min(WINDOW, most or WINDOW) if isinstance(size, Size) else int(size)
    count = (len(ids) - 1) // steps
    if count < 1:
        raise DeployError(f"[quantize] a text needs more than {steps} ids, got {len(ids)}")
    starts = numpy.arange(count) * steps
    found: numpy.ndarray = ids[starts[:, None] + numpy.arange(steps + 1)].astype(numpy.int64)
    return found


def _together(graph: Graph) -> int:
    """How many rows a call reads: with slots each has one of its own."""
    kept = {name for name, _ in graph.state}
    slots = [int(x.shape[0]) for x in graph.inputs if x.op.name in kept and not isinstance(x.shape[0], Size)]
    return min([ROWS, *slots])


def _logits(engine: Instant, ids: numpy.ndarray) -> numpy.ndarray:
    """The logits of rows from the beginning of a text."""
    first = "ids" if "ids" in engine.shapes else next(iter(engine.shapes))
    dtypes = {x["name"]: x["dtype"] for x in engine.inputs}
    given = {first: ids, "slot": numpy.arange(len(ids)), "position": numpy.zeros(len(ids))}
    engine.reset()
    return next(iter(engine.run(**{k: x.astype(dtypes[k]) for k, x in given.items() if k in dtypes}).values()))
