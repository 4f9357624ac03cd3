"""The weights of a graph: shape, dtype, bytes, and how their values are spread."""

from __future__ import annotations

from typing import Any

import numpy

from ..ir import Graph

BINS = 24


def weights(graph: Graph) -> list[dict[str, Any]]:
    """A row for each weight, in the order in which they are read."""
    return [{"name": name, **described(array)} for name, array in graph.weights().items()]


def described(array: numpy.ndarray) -> dict[str, Any]:
    """Shape, dtype, bytes; of what is finite mean, standard deviation, and how many numbers are in each bin."""
    facts: dict[str, Any] = {"shape": list(array.shape), "dtype": str(array.dtype), "bytes": array.nbytes}
    values = array.astype(numpy.float64).ravel()
    finite = values[numpy.isfinite(values)]
    if finite.size < values.size:
        facts["not_finite"] = int(values.size - finite.size)
    if finite.size:
        counts, edges = numpy.histogram(finite, BINS)
        facts |= {"mean": float(finite.mean()), "std": float(finite.std()), "zeros": int((finite == 0).sum())}
        facts |= {"low": float(edges[0]), "high": float(edges[-1]), "counts": counts.tolist()}
    return facts
