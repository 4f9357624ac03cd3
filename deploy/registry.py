"""The ops a graph may hold, by class name: needle's own that know their types, the fused and the quantized ones of
this package, and those that only ONNX has."""

from __future__ import annotations

import dataclasses
from typing import Any

import needle.ops
from needle.autograd import Op

from . import coded_weights, fused_ops, quantized_ops
from .onnx import ops as onnx_ops


def _ops_of(module: Any) -> dict[str, type]:
    """The concrete op classes of a module: frozen dataclasses with an `infer`."""
    found = (x for x in vars(module).values() if isinstance(x, type) and issubclass(x, Op))
    return {x.__name__: x for x in found if dataclasses.is_dataclass(x) and getattr(x, "infer", None) is not None}


OPS: dict[str, type] = {**_ops_of(onnx_ops), **_ops_of(needle.ops), **_ops_of(fused_ops), **_ops_of(quantized_ops),
                         **_ops_of(coded_weights)}
