"""Runs a graph node by node with the ops' own `compute`: the meaning that every pass and every program must keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy

from needle.sizes import Size

from .binding import sizes_of
from .dtypes import numpy_dtype
from .ir import Constant, Graph, Input, Node, Weight, parts, with_sizes
from .verify import counts


def run(
    graph: Graph, inputs: Mapping[str, numpy.ndarray], array: Callable[[numpy.ndarray], Any] = numpy.asarray,
    weights: Mapping[str, numpy.ndarray] | None = None,
) -> dict[str, numpy.ndarray]:  # fmt: skip
    """The outputs by name for `inputs` by name. `array` chooses the kernels: numpy's by default, `NDArray` for C++.

    `weights` may take the place of the graph's.

    Raises RunError if the inputs do not fit.
    """
    sizes = sizes_of("run", {x.op.name: x.shape for x in graph.inputs}, inputs)
    values: dict[Node, Any] = {}
    for node in graph.order():
        match node.op:
            case Input(name):
                values[node] = array(numpy.asarray(inputs[name]))
            case Constant(data):
                values[node] = array(data)
            case Weight(data, name):
                values[node] = array(data if weights is None else numpy.asarray(weights[name]))
            case op:
                values[node] = _typed(with_sizes(op, sizes).compute(*[values[x] for x in node.inputs]), node.type)
                for count in counts(op):
                    _count(count, node.type, values[node], sizes)
    return {name: _numpy(values[node]).reshape(with_sizes(node.shape, sizes)) for name, node in graph.outputs}


def values_of(nodes: Sequence[Node], weights: Mapping[str, numpy.ndarray] | None = None) -> list[numpy.ndarray]:
    """The arrays of nodes that are known: functions of weights and constants."""
    graph = Graph((), tuple((str(i), node) for i, node in enumerate(nodes)))
    return list(run(graph, {}, weights=weights).values())


def _typed(value: Any, type: Any) -> Any:
    """numpy's arrays in the dtypes that the graph says: numpy has float64 for int32 * 0.5, uint64 for sums of uint8."""
    if isinstance(value, tuple):
        return tuple(_typed(each, part) for each, part in zip(value, parts(type), strict=True))
    return numpy.asarray(value, numpy_dtype(type.dtype)) if isinstance(value, numpy.ndarray | numpy.generic) else value


def _count(name: str, type: Any, value: Any, sizes: dict[str, int]) -> None:
    """Note how large a size is that data have decided."""
    for part, array in zip(parts(type), value if isinstance(value, tuple) else (value,), strict=True):
        for size, n in zip(part.shape, array.shape, strict=True):
            if isinstance(size, Size) and str(size) == name:
                sizes[name] = int(n)


def _numpy(value: Any) -> numpy.ndarray:
    """An array or NDArray as numpy array."""
    return numpy.asarray(value.numpy() if hasattr(value, "numpy") else value)
