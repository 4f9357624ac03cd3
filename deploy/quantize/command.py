"""What `needle-deploy quantize` does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from needle.commands import Answer

from ..errors import DeployError
from ..ir import Graph
from ..quantized_ops import QuantizedProduct
from . import code_weights, rewriting
from .data import read
from .layers import errors_by_layer, kept, layer_lines
from .measure import Cost, measure
from .perplexity import measure_text

Layers = list[tuple[str, float]]


@dataclass(frozen=True)
class Wanted:
    """The arguments of the command."""

    output: Path
    calibrate: str
    measure: str | None = None  # what the metric is measured on, where that is other data
    metric: str | None = None
    tolerance: float | None = None
    samples: int = 256
    weights: str | None = None  # the format, where weights alone are to be in fewer bits
    group: int = 32
    why: bool = False


def quantize_command(graph: Graph, wanted: Wanted) -> Answer:
    """Quantize, measure, write; beyond the tolerance exit status 1, and nothing is written."""
    layers: Layers = []
    why: list[tuple[str, str]] = []
    if wanted.weights is not None:
        if wanted.why:
            raise DeployError("[quantize] --why compares values in bytes; with --weights values stay float32")
        quantized = code_weights(graph, wanted.weights, wanted.group)
    else:
        sample = read(graph, wanted.calibrate, train=True, most=wanted.samples)
        made = rewriting(graph, sample.inputs)
        quantized = made.graph_of_bytes()
        if wanted.why:
            layers, why = errors_by_layer(made, sample.inputs), kept(made.graph)
    cost = _cost(graph, quantized, wanted)
    if cost.within:
        quantized.save(wanted.output)
    facts, lines = _sizes(graph, quantized)
    facts["layers"] = [{"value": about, "error": error} for about, error in layers]
    facts["kept"] = [{"value": about, "why": reason} for about, reason in why]
    lines = [*cost.lines(), *lines, *([*layer_lines(layers, why), ""] if layers else [])]
    return _answer(wanted, cost, facts, lines)


def _cost(graph: Graph, quantized: Graph, wanted: Wanted) -> Cost:
    """What it costs on the data to measure on: of a data set its test images."""
    source = wanted.measure or wanted.calibrate
    if wanted.metric == "perplexity":
        return measure_text(graph, quantized, Path(source), wanted.tolerance)
    sample = read(graph, source, train=False)
    metric = wanted.metric or ("accuracy" if sample.labels is not None else "error")
    return measure(graph, quantized, sample, metric, wanted.tolerance)


def _sizes(graph: Graph, quantized: Graph) -> tuple[dict[str, Any], list[str]]:
    """How large the weights were and are, and how many products are of bytes."""
    sizes = [sum(x.nbytes for x in each.weights().values()) for each in (graph, quantized)]
    products = sum(isinstance(x.op, QuantizedProduct) for x in quantized.order())
    made = f"; {products} products of bytes" if products else ""
    line = f"weights: {sizes[0]} bytes before, {sizes[1]} after{made}"
    return {"weights_bytes": sizes, "products": products}, [line]


def _answer(wanted: Wanted, cost: Cost, facts: dict[str, Any], lines: list[str]) -> Answer:
    """What it cost, and whether it was written."""
    measured = {
        "path": str(wanted.output) if cost.within else None, "metric": cost.metric, "before": cost.before,
        "after": cost.after, "lost": cost.lost, "tolerance": cost.tolerance, "within": cost.within,
    }  # fmt: skip
    verdict = "written" if cost.within else "not written, the loss is beyond the tolerance"
    return Answer(measured | facts, "\n".join([*lines, f"{wanted.output}: {verdict}"]), 0 if cost.within else 1)
