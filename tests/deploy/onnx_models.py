"""Small ONNX models, written by the package's own helpers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
helper, numpy_helper = pytest.importorskip("onnx.helper"), pytest.importorskip("onnx.numpy_helper")

FLOAT, INT64, BOOL = 1, 7, 9


def value(name: str, shape: Sequence[int | str | None], kind: int = FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def node(operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> Any:
    return helper.make_node(operator, inputs, outputs, name=f"{operator.lower()}_of_{outputs[0]}", **attributes)


def model(
    nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any], arrays: dict[str, Any] | None = None,
    opset: int = 17, **more: Any,
) -> bytes:  # fmt: skip
    """The bytes of a model; `arrays` are its initializers."""
    tensors = [numpy_helper.from_array(np.asarray(a), name) for name, a in (arrays or {}).items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, **more)
    data: bytes = made.SerializeToString()
    return data
