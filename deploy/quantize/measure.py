"""What quantizing costs: a metric before and after, and whether it is within the tolerance."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy

from ..errors import DeployError
from ..instant import Instant
from ..ir import Graph
from .calibration import BATCH, parts
from .data import Sample

TOLERANCES = {"accuracy": 0.005, "agreement": 0.02, "error": 0.05, "perplexity": 0.01}
ABOUT = {
    "accuracy": "share of rows whose largest output is at the label; it may fall by the tolerance",
    "agreement": "share of rows whose largest output is where it was; the rest may be as large as the tolerance",
    "error": "root mean square of the change over that of the output; at most the tolerance",
    "perplexity": "exp of the mean of -log p(next token); it may grow by this part of itself",
}


@dataclass(frozen=True)
class Cost:
    """A metric of the graph as it was and as it is, and what it may lose."""

    metric: str
    before: float
    after: float
    tolerance: float

    @property
    def lost(self) -> float:
        """How much worse it became, as the tolerance counts it; below 0 where it became better."""
        if self.metric == "perplexity":
            return self.after / self.before - 1
        return self.after - self.before if self.metric == "error" else self.before - self.after

    @property
    def within(self) -> bool:
        """Whether it lost no more than it may. What is no number is beyond everything."""
        return self.lost <= self.tolerance

    def lines(self) -> list[str]:
        """A small table."""
        verdict = "within" if self.within else "BEYOND"
        return [
            f"{'':<12} {'before':>9} {'after':>9} {'lost':>9} {'allowed':>9}",
            f"{self.metric:<12} {self.before:9.4f} {self.after:9.4f} {self.lost:9.4f} {self.tolerance:9.4f}  {verdict}",
        ]


def measure(before: Graph, after: Graph, sample: Sample, metric: str, tolerance: float | None = None) -> Cost:
    """The cost in a metric of TOLERANCES. Raises DeployError for one that the data or the graph do not have."""
    if len(before.results) != 1:
        raise DeployError(f"[quantize] {metric} is that of one output, the graph has {len(before.results)}")
    if metric == "accuracy" and sample.labels is None:
        raise DeployError(
            "[quantize] accuracy needs data with labels that the model's card knows: choose agreement or error"
        )
    plain, found = (outputs(graph, sample.inputs) for graph in (before, after))
    values = METRICS[metric](plain, found, sample.labels)
    return Cost(metric, *values, TOLERANCES[metric] if tolerance is None else tolerance)


def outputs(graph: Graph, inputs: Mapping[str, numpy.ndarray]) -> numpy.ndarray:
    """The only output for all rows."""
    (name,) = (name for name, _ in graph.results)
    with Instant(graph, max_batch=BATCH, favoured=BATCH) as instant:
        return numpy.concatenate([instant.run(**part)[name] for part in parts(inputs)])


def _accuracy(plain: numpy.ndarray, found: numpy.ndarray, labels: Any) -> tuple[float, float]:
    return float((best(plain) == labels).mean()), float((best(found) == labels).mean())


def _agreement(plain: numpy.ndarray, found: numpy.ndarray, labels: Any) -> tuple[float, float]:
    return 1.0, float((best(plain) == best(found)).mean())


def _error(plain: numpy.ndarray, found: numpy.ndarray, labels: Any) -> tuple[float, float]:
    return 0.0, relative(plain, found)


def relative(plain: numpy.ndarray, found: numpy.ndarray) -> float:
    """The root mean square of the change over that of the numbers."""
    a, b = plain.astype(numpy.float64), found.astype(numpy.float64)
    scale = math.sqrt(float((a**2).mean()))
    change = math.sqrt(float(((b - a) ** 2).mean()))
    return change / scale if scale else change


def best(logits: numpy.ndarray) -> numpy.ndarray:
    """Where the largest number of each row is; -1 where one is NaN."""
    flat = logits.reshape(len(logits), -1)
    return numpy.where(numpy.isnan(flat).any(axis=1), -1, flat.argmax(axis=1))


METRICS: dict[str, Callable[[numpy.ndarray, numpy.ndarray, Any], tuple[float, float]]] = {
    "accuracy": _accuracy,
    "agreement": _agreement,
    "error": _error,
}
