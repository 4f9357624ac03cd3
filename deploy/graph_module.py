"""A graph as a module: its float weights are parameters under their names, its ops run eagerly and have gradients."""

from __future__ import annotations

from typing import Any

from needle.autograd import Tensor
from needle.nn import Module, Parameter

from .binding import sizes_of
from .errors import GraphError
from .ir import Constant, Graph, Input, Node, Weight, with_sizes

FLOATS = ("float32", "float64")


class GraphModule(Module):
    """What a graph computes: `module(x)` takes its inputs in order, and gives its outputs, one or a tuple.

    Its parameters are the graph's weights, by their names; the means and variances of batch normalisations are tensors
    of its state that do not learn. It behaves alike in training and in eval mode: batch normalisation has given
    statistics.

    Raises GraphError for a graph that keeps state, or that holds dtypes which tensors do not have.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        if graph.state:
            raise GraphError("[module] a graph that carries state from call to call is no function; run it by Instant")
        self.graph, fixed = graph, statistics(graph)
        for node in graph.order():
            if isinstance(node.op, Weight):
                name, learns = node.op.name, node.type.dtype in FLOATS and node.op.name not in fixed
                if name in self.__dict__:
                    raise GraphError(f"[module] a weight cannot have the name {name!r}, which the module itself uses")
                make: Any = Parameter if learns else Tensor
                self.__dict__[name] = make(node.op.array, dtype=node.type.dtype, requires_grad=learns)

    def forward(self, *inputs: Any) -> Any:
        """The outputs for tensors, or arrays, in the order of the graph's inputs."""
        given = [x if isinstance(x, Tensor) else Tensor(x, requires_grad=False) for x in inputs]
        names = [x.op.name for x in self.graph.inputs]
        shapes = {x.op.name: x.shape for x in self.graph.inputs}
        sizes = sizes_of("module", shapes, dict(zip(names, given, strict=False)))
        values: dict[Node, Any] = dict(zip(self.graph.inputs, given, strict=True))
        for node in self.graph.order():
            match node.op:
                case Input():
                    continue
                case Weight(_, name):
                    values[node] = self.__dict__[name]
                case Constant(array):
                    values[node] = Tensor(array, dtype=str(array.dtype), requires_grad=False)
                case op:
                    values[node] = with_sizes(op, sizes)(*[values[x] for x in node.inputs])
        results = [values[node] for _, node in self.graph.outputs]
        return results[0] if len(results) == 1 else tuple(results)

    def trained(self) -> Graph:
        """The graph with the weights as they are now."""
        return self.graph.with_weights(self.state_dict())


def statistics(graph: Graph) -> set[str]:
    """The weights that are means and variances of batch normalisations: a model's state, not its parameters."""
    from needle.ops import BatchNormInference

    found = [x for node in graph.order() if isinstance(node.op, BatchNormInference) for x in node.inputs[3:]]
    return {x.op.name for x in found if isinstance(x.op, Weight)}

