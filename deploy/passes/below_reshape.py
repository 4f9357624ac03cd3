"""What follows a product through a reshape comes before the reshape, where the product's epilogue can take it."""

from __future__ import annotations

from collections import Counter

from needle import ops

from ..fused_ops import Product
from ..ir import Node, apply, same_type
from .fuse import channel_constant

ACTIVATIONS = (ops.ReLU, ops.SiLU, ops.Clip)


def below_reshape(node: Node, uses: Counter[Node]) -> Node | None:
    """f(reshape(product), b)  =>  reshape(f(product, b)), for a bias of the last axis, a residual, an activation"""
    match node:
        case Node(op, (Node(ops.Reshape(), (Node(Product()) as product,)) as view,)) if isinstance(op, ACTIVATIONS):
            return _again(node, apply(op, product)) if uses[view] == uses[product] == 1 else None
        case Node(ops.EWiseAdd() as op, (a, b)):
            for view, other in ((a, b), (b, a)):
                match view:
                    case Node(ops.Reshape(), (Node(Product()) as product,)) if uses[view] == uses[product] == 1:
                        beside = _beside(product, view, other) if same_type(node.type, view.type) else None
                        if beside is not None:
                            return _again(node, apply(op, product, beside))
    return None


def _beside(product: Node, view: Node, other: Node) -> Node | None:
    """The other operand in the shape of the product."""
    if view.shape[-1:] == product.shape[-1:] and isinstance(view.shape[-1], int):
        bias = channel_constant(other, view)
        if bias is not None:
            return apply(ops.BroadcastTo(product.shape), apply(ops.Reshape((1, product.shape[-1])), bias))
    if same_type(other.type, view.type) and not isinstance(other.op, ops.BroadcastTo):
        return apply(ops.Reshape(product.shape), other)
    return None


def _again(node: Node, before: Node) -> Node:
    return apply(ops.Reshape(node.shape), before)
