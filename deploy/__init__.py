"""deploy: from a needle module to a standalone C++ program.

graph = deploy.freeze(model, example)      # the graph, batch size still open
graph.save("model.nd")                     # data only: graph, weights, card
built = deploy.build(graph)                # shared library, command, header
deploy.Compiled(built.library, built.weights)(x)   # run it; or, without a compiler: deploy.Instant(graph)(x)
"""

from .build import Built, build
from .compiled import Compiled
from .errors import BuildError, DeployError, EmitError, FreezeError, GraphError, NdFormatError, OnnxError, RunError
from .freeze import freeze
from .graph_module import GraphModule
from .instant import Instant
from .ir import Graph

load = Graph.load

__all__ = [
    "BuildError", "Built", "Compiled", "DeployError", "EmitError", "FreezeError", "Graph", "GraphError", "GraphModule",
    "Instant", "NdFormatError", "OnnxError", "RunError", "build", "freeze", "load",
]  # fmt: skip
