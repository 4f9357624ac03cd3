"""ONNX in and out: `load` a model as a graph, `save` a graph as a model, a model as a `module` that learns.

The package `onnx` parses and checks files, and is imported when that is asked for; what operators mean is said here, in
the rows of table.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import OnnxError
from ..ir import Graph

if TYPE_CHECKING:
    from needle.nn import Module

__all__ = ["OnnxError", "dumps", "load", "loads", "module", "save"]

Shapes = Mapping[str, Sequence[int | str | None]]


def load(
    path: str | os.PathLike[str], shapes: Shapes | None = None, values: Mapping[str, Any] | None = None,
    outputs: Sequence[str] | None = None,
) -> Graph:  # fmt: skip
    """The graph of the model in a file. Its named dims stay open; `shapes` fixes or names sizes of inputs by name.

    An open size has the least value for which all windows fit, as far as a few are tried (1, 2, 4, 8, ...).

    `values` gives inputs that decide shapes or branches: they become part of the structure. `outputs` names values
    inside the model to give instead of its own. Floats among the initializers are weights under their names. Raises
    OnnxError, with every reason, for a model that cannot be read or is damaged; OSError for a file that cannot be
    opened.
    """
    from .opened import read_graph
    from .read import read_model

    _needs_onnx()
    model, folder = read_model(path)
    return read_graph(model, folder, shapes or {}, values or {}, outputs)


def loads(data: bytes, shapes: Shapes | None = None, values: Mapping[str, Any] | None = None) -> Graph:
    """As `load`, of the bytes of a file without external data."""
    from .opened import read_graph
    from .read import parse

    _needs_onnx()
    return read_graph(parse(data), None, shapes or {}, values or {})


def save(graph: Graph, path: str | os.PathLike[str], opset: int = 17) -> None:
    """Write a graph as an ONNX file, whole or not at all. Raises OnnxError with every reason why it cannot be."""
    from .writer import save

    _needs_onnx()
    save(graph, path, opset)


def dumps(graph: Graph, opset: int = 17) -> bytes:
    """The bytes that `save` writes; equal graphs give equal bytes."""
    from .writer import dumps

    _needs_onnx()
    return dumps(graph, opset)


def module(
    path: str | os.PathLike[str], shapes: Shapes | None = None, outputs: Sequence[str] | None = None
) -> Module:
    """The model in a file as a module of needle, whose parameters are its float initializers under their names.

    `outputs` names values inside the model to give instead: the features that a new head learns from.
    """
    from ..graph_module import GraphModule

    return GraphModule(load(path, shapes, outputs=outputs))


def _needs_onnx() -> None:
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise OnnxError("[onnx] the package onnx is needed: pip install 'needle-dl[onnx]'") from error
