"""A model read with its sizes open: each as small as its windows allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import OnnxError
from ..ir import Graph
from .importer import Dims, Importer

LEAST = (2, 4, 8, 16, 32, 48, 64, 128, 256, 512, 1024)


def read_graph(
    model: Any, folder: Path | None, dims: Dims, values: Mapping[str, Any], outputs: Sequence[str] | None = None
) -> Graph:
    """The graph of a model. An open size is 1 or more or, where rules ask for more, at least one of LEAST.

    A window that fits an image of 32 pixels does not fit one of 1. Raises OnnxError as `Importer.graph`.
    """
    least: dict[str, int] = {}
    while True:
        importer = Importer(model, folder, dims, values, outputs=outputs)
        importer.least = least
        try:
            return importer.graph()
        except OnnxError:
            raised = {name: next((n for n in LEAST if n > least.get(name, 1)), 0) for name in importer.asked}
            if not raised or not all(raised.values()):
                raise
            least = {**least, **raised}
