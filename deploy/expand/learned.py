"""Kernels of support vector machines, and tables of numbers."""

from __future__ import annotations

from typing import Any

import numpy

from needle import ops

from ..ir import Node, apply
from ..onnx.dtypes import numpy_dtype
from ..onnx.make import Unsupported
from ..onnx.ops import Kernels, LabelEncoder
from .arithmetic import add, cast, const, mul, reshape, sub, total, where

MOST_KEYS = 1024  # each is compared with each element


def _kernels(node: Node) -> Node:
    op, vectors = node.op, node.inputs[1]
    x = cast(node.inputs[0], "float32")
    if op.kind == "RBF":
        # not |x|^2 + |s|^2 - 2 x.s, which loses what is near
        apart = sub(reshape(x, (x.shape[0], 1, x.shape[1])), reshape(vectors, (1, *vectors.shape)))
        return apply(ops.Exp(), mul(total(mul(apart, apart), 2), -op.gamma))
    product = apply(ops.MatMul(), x, apply(ops.Transpose((0, 1)), vectors))
    if op.kind not in ("POLY", "SIGMOID"):
        return product
    line = add(mul(product, op.gamma), op.offset)
    return apply(ops.Tanh(), line) if op.kind == "SIGMOID" else apply(ops.PowerScalar(op.degree), line)


def _encoded(node: Node) -> Node:
    """values[the last i with keys[i] = x], else the default; of numbers."""
    op, x = node.op, node.inputs[0]
    keys = numpy.array(op.keys)
    kinds = keys.dtype.kind + numpy.dtype(x.type.dtype).kind
    if kinds not in ("ii", "if", "ff") or op.dtype == "object" or not len(keys) or (keys != keys).any():
        raise Unsupported("keys or values that are no numbers")
    if len(keys) > MOST_KEYS or (kinds == "ii" and (keys.astype(x.type.dtype) != keys).any()):
        raise Unsupported("keys that are many, or larger than what is looked up")
    table = const(keys, x.type.dtype)
    same = apply(ops.Equal(), reshape(x, (*x.shape, 1)), table)
    place = apply(ops.ArgMax(len(x.shape), last=True), cast(same, "uint8"))
    value = apply(ops.Take(0), const(numpy.array(op.values, numpy_dtype(op.dtype))), place)
    known = apply(ops.Equal(), apply(ops.Take(0), table, place), x)
    return where(known, value, const(op.default, op.dtype))


TABLE: dict[type, Any] = {Kernels: _kernels, LabelEncoder: _encoded}
