"""Networks in bytes: int8 after training, and weights in fewer bits."""

from __future__ import annotations

from collections.abc import Mapping

import numpy

from ..errors import DeployError
from ..ir import Graph
from ..passes import optimize
from ..passes.activation import fuse_activation
from .calibration import calibrate
from .eligible import is_product
from .rewriting import Rewriting
from .weights import code_weights, halve_exact

__all__ = ["code_weights", "halve_exact", "quantize", "rewriting"]


def quantize(graph: Graph, inputs: Mapping[str, numpy.ndarray]) -> Graph:
    """The graph whose convolutions and products with weights are exact sums of bytes, int8 times uint8 in int32.

    Weights have a step for each column, values one for the tensor, from what they are for `inputs`, arrays by name.
    Raises DeployError where nothing is to be quantized, RunError if the inputs do not fit.
    """
    return rewriting(graph, inputs).graph_of_bytes()


def rewriting(graph: Graph, inputs: Mapping[str, numpy.ndarray]) -> Rewriting:
    """What `quantize` does, where its parts are asked for."""
    prepared = optimize(graph, without=(fuse_activation,))  # of bytes, activations but relu are tables
    if not any(map(is_product, prepared.order())):
        raise DeployError("[quantize] the graph has no convolution or product with weights that bytes could compute")
    return Rewriting(prepared, calibrate(prepared, inputs))
