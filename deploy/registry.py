"""The ops a graph may hold, by class name: needle's own that know their types, those of this package (fused,
quantized, weights in other layouts), and those that only ONNX has."""

from __future__ import annotations

import dataclasses
from typing import Any

import needle.ops
from needle.autograd import Op

from . import coded_weights, fused_ops, packed_weights, quantized_ops
from .onnx import ops as onnx_ops


def _ops_of(module: Any) -> dict[str, type]:
    """The concrete op classes of a module: frozen dataclasses with an `infer`."""
    found = (x for x in vars(module).values() if isinstance(x, type) and issubclass(x, Op))
    return {x.__name__: x for x in found if dataclasses.is_dataclass(x) and getattr(x, "infer", None) is not None}


MODULES = (onnx_ops, needle.ops, fused_ops, quantized_ops, coded_weights, packed_weights)
OPS: dict[str, type] = {name: op for module in MODULES for name, op in _ops_of(module).items()}
