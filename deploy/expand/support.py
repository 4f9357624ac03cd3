"""Kernels of support vector machines: of each row of features and each support vector."""

from __future__ import annotations

from typing import Any

from needle import ops

from ..ir import Node, apply
from ..onnx.ops import Kernels
from .arithmetic import add, cast, mul, reshape, sub, total


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


TABLE: dict[type, Any] = {Kernels: _kernels}
