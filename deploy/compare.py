"""Whether a program computes what its graph means: generated code against the interpreter and the eager module."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy

from needle.autograd import Tensor
from needle.backend_ndarray import NDArray

from . import interpreter
from .compiled import Compiled
from .ir import Graph, dims, with_sizes

TOLERANCE = 1e-5
BATCHES = (1, 2, 5)


def relative_error(found: numpy.ndarray, expected: numpy.ndarray) -> float:
    """max |found - expected| / max |expected|; infinite where shapes or NaNs differ."""
    if found.shape != expected.shape or (numpy.isnan(found) != numpy.isnan(expected)).any():
        return float("inf")
    same = (found == expected) | (numpy.isnan(found) & numpy.isnan(expected))
    with numpy.errstate(invalid="ignore"):  # of infinities, which are the same
        difference = numpy.where(same, 0.0, numpy.abs(found.astype(float) - expected.astype(float)))
    scale = float(numpy.abs(expected[numpy.isfinite(expected)]).max(initial=0.0))
    return float(difference.max(initial=0.0)) / (scale if scale > 0 else 1.0)


def random_inputs(graph: Graph, batch: int, seed: int = 0) -> dict[str, numpy.ndarray]:
    """Standard normal inputs of this batch size, as near as its bounds allow, by name."""
    generator, sizes = numpy.random.default_rng(seed), sizes_of(graph, batch)
    return {x.op.name: _random(generator, with_sizes(x.type, sizes)) for x in graph.inputs}


def sizes_of(graph: Graph, batch: int, others: int = 5) -> dict[str, int]:
    """A number for each named size: what is wanted or, where bounds forbid it, the nearest."""
    wanted = {name: (max(dim.low, batch if name == "batch" else others), dim.high) for name, dim in dims(graph).items()}
    return {name: size if high is None else min(size, high) for name, (size, high) in wanted.items()}


def _random(generator: numpy.random.Generator, type: Any) -> numpy.ndarray:
    """Standard normal floats; whole numbers, small ones, as ids are."""
    whole = not type.dtype.startswith("float")
    values: numpy.ndarray = generator.integers(0, 2, type.shape) if whole else generator.standard_normal(type.shape)
    return values.astype(type.dtype)


def errors(
    compiled: Compiled, graph: Graph, model: Callable[..., Any] | None = None, seed: int = 0
) -> Iterator[tuple[str, float]]:
    """(what was compared, max relative error) for several batch sizes; `model` is the eager module, if known."""
    for batch in dict.fromkeys(sizes_of(graph, n).get("batch", n) for n in BATCHES):
        inputs = random_inputs(graph, batch, seed)
        found = with_state(compiled, graph, inputs)
        yield f"batch {batch}: program and interpreter", _worst(found, interpreter.run(graph, inputs))
        on_cpu = interpreter.run(graph, inputs, array=NDArray)
        yield f"batch {batch}: program and needle's kernels", _worst(found, on_cpu)
        if model is not None:
            yield f"batch {batch}: program and eager module", _worst(found, eager(model, graph, inputs))


def with_state(compiled: Compiled, graph: Graph, inputs: Mapping[str, numpy.ndarray]) -> dict[str, numpy.ndarray]:
    """The outputs for all inputs of a graph: those that are its state are put there before, and taken after the run."""
    kept = {name: inputs[name] for name, _ in graph.state}
    if kept:
        compiled.state = kept
    found = compiled.run(**{name: array for name, array in inputs.items() if name not in kept})
    after = compiled.state if kept else {}
    return found | {output: after[name] for name, output in graph.state}


def eager(model: Callable[..., Any], graph: Graph, inputs: Mapping[str, numpy.ndarray]) -> dict[str, numpy.ndarray]:
    """The outputs of a module in eval mode, under the names of the graph."""
    result = model(*[Tensor(inputs[x.op.name], requires_grad=False) for x in graph.inputs])
    results = result if isinstance(result, tuple | list) else (result,)
    return {name: x.numpy() for (name, _), x in zip(graph.outputs, results, strict=True)}


def _worst(found: Mapping[str, numpy.ndarray], expected: Mapping[str, numpy.ndarray]) -> float:
    return max(relative_error(found[name], expected[name]) for name in expected)
