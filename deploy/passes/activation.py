"""Activations that networks for images have, behind the product whose values they are of."""

from __future__ import annotations

from collections import Counter

from needle import ops

from ..fused_ops import Product
from ..ir import Node, apply
from .fuse import with_step


def fuse_activation(node: Node, uses: Counter[Node]) -> Node | None:
    """f(product(x, w) ...)  =>  product with f behind its epilogue: ReLU6, SiLU, hard sigmoid, hard swish"""
    step, product = _activation(node)
    if product is None or not isinstance(product.op, Product):
        return None
    reads = 2 if isinstance(node.op, ops.EWiseMul) else 1  # x sigmoid(x) reads x twice
    return apply(with_step(product.op, step), *product.inputs) if uses[product] == reads else None


def _activation(node: Node) -> tuple[str, Node | None]:
    """The step that a node is, and of what."""
    match node:
        case Node(ops.Clip(0.0, 6.0), (x,)):
            return "relu6", x
        case Node(ops.SiLU(), (x,)):
            return "silu", x
        case Node(ops.Clip(0.0, 1.0), (Node(ops.AddScalar(0.5), (Node(ops.MulScalar(scale), (x,)),)),)):
            return "hard_sigmoid", x if abs(scale - 1 / 6) < 1e-6 else None
        case Node(ops.EWiseMul(), (a, b)):
            for x, gate in ((a, b), (b, a)):
                step, of = _activation(gate) if isinstance(gate.op, ops.Clip) else ("", None)
                if step == "hard_sigmoid" and of is x:
                    return "hard_swish", x
                if isinstance(gate.op, ops.Sigmoid) and gate.inputs == (x,):
                    return "silu", x
    return "", None
