"""Products with weights become ones that steps can be put behind."""

from __future__ import annotations

import math
from collections import Counter

from needle import ops

from ..fused_ops import FusedConv, FusedGroupedConv, FusedMatMul, FusedTransposedConv
from ..ir import Node, apply
from .rewrite import Kept


def open_epilogues(node: Node, uses: Counter[Node]) -> Node | Kept | None:
    """conv(x, w), x @ w  =>  the same with an empty epilogue, where w is known; leading axes of x become one"""
    match node:
        case Node(ops.Conv(stride, int(padding), 1, 1), (x, w)) if w.known:
            return apply(FusedConv(stride, padding), x, w)
        case Node(ops.Conv(stride, padding, groups, dilation), (x, w)) if w.known:
            sides = (padding, padding) if isinstance(padding, int) else padding
            return apply(FusedGroupedConv(stride, sides, groups, dilation), x, w)
        case Node(ops.ConvInputGradient(stride, int(padding), height, width, 1, 1), (x, w)) if w.known:
            turned = apply(ops.Permute((0, 1, 3, 2)), w)
            return apply(FusedTransposedConv(stride, padding, height, width), x, turned)
        case Node(ops.MatMul(), (x, w)) if w.known and len(w.shape) == 2:
            if len(x.shape) == 2:
                return apply(FusedMatMul(), x, w)
            rows = apply(ops.Reshape((math.prod(x.shape[:-1]), x.shape[-1])), x)
            return apply(ops.Reshape(node.shape), apply(FusedMatMul(), rows, w))
        case Node(ops.Conv() | ops.ConvInputGradient() | ops.MatMul() as op, (_, w)):
            return Kept(_no_epilogue(op, w))
    return None


def _no_epilogue(op: ops.Conv | ops.ConvInputGradient | ops.MatMul, w: Node) -> str:
    """Why a product stays without one."""
    if not w.known:
        return "its right operand is computed, not a weight"
    if isinstance(op, ops.MatMul):
        return f"its right operand has {len(w.shape)} axes, a weight of a product has 2"
    return "it is transposed, and its padding differs along its two axes"
