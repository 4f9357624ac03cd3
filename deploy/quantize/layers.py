"""Where the error comes from: each value that became bytes, beside what it was."""

from __future__ import annotations

from collections.abc import Mapping

import numpy

from ..instant import Instant
from ..ir import Graph, Node, describe
from .calibration import BATCH, parts
from .measure import relative
from .rewriting import Rewriting


def errors_by_layer(rewriting: Rewriting, inputs: Mapping[str, numpy.ndarray]) -> list[tuple[str, float]]:
    """(value, root mean square of the change over that of the value), with the errors of those before it."""
    pairs = list(rewriting.pairs())
    plain, found = ({f"v{i}": pair[side] for i, pair in enumerate(pairs)} for side in (0, 1))
    rows = next(parts(inputs, BATCH))
    values = [Instant(Graph(rewriting.graph.inputs, tuple(x.items()))).run(**rows) for x in (plain, found)]
    return [(_about(node), relative(*(x[f"v{i}"] for x in values))) for i, (node, _) in enumerate(pairs)]


def _about(node: Node) -> str:
    return " ".join([type(node.op).__name__, *getattr(node.op, "epilogue", ()), describe(node.type)])


def layer_lines(errors: list[tuple[str, float]]) -> list[str]:
    """A table, the largest first."""
    return [f"{'error':>9}  value", *(f"{error:9.4f}  {about}" for about, error in sorted(errors, key=lambda x: -x[1]))]
