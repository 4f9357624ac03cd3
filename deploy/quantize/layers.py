"""Where the error comes from: each value that became bytes, beside what it was."""

from __future__ import annotations

from collections.abc import Mapping

import numpy

from needle import ops

from ..fused_ops import Product
from ..instant import Instant
from ..ir import Graph, Node, describe
from .calibration import BATCH, parts
from .eligible import product
from .measure import relative
from .rewriting import Rewriting


def errors_by_layer(rewriting: Rewriting, inputs: Mapping[str, numpy.ndarray]) -> list[tuple[str, float]]:
    """(value, root mean square of the change over that of the value), with the errors of those before it."""
    pairs = list(rewriting.pairs())
    plain, found = ({f"v{i}": pair[side] for i, pair in enumerate(pairs)} for side in (0, 1))
    rows, values = next(parts(inputs, BATCH)), []
    for outputs in (plain, found):
        with Instant(Graph(rewriting.graph.inputs, tuple(outputs.items()))) as instant:
            values.append(instant.run(**rows))
    return [(_about(node), relative(*(x[f"v{i}"] for x in values))) for i, (node, _) in enumerate(pairs)]


def _about(node: Node) -> str:
    return " ".join([type(node.op).__name__, *getattr(node.op, "epilogue", ()), describe(node.type)])


def kept(graph: Graph) -> list[tuple[str, str]]:
    """(product, why) for each that stays in float32."""
    products = (x for x in graph.order() if isinstance(x.op, Product | ops.Conv | ops.MatMul) and not x.known)
    return [(_about(x), product(x)) for x in products if product(x)]


def layer_lines(errors: list[tuple[str, float]], why: list[tuple[str, str]]) -> list[str]:
    """A table, the largest first, and what stays in float32."""
    lines = [f"{'error':>9}  value"]
    lines += [f"{error:9.4f}  {about}" for about, error in sorted(errors, key=lambda x: -x[1])]
    return [*lines, *(f"{'float32':>9}  {about}: {reason}" for about, reason in why)]
