"""Batch normalisation into the weights; bias, activation and residual sum into the product before them.

A rule maps a node to an equal one, or to None where it does not apply; rewrite.py applies it until nothing changes. Its
docstring says what becomes of what. relu(x @ w + b) becomes FusedMatMul(("bias", "relu"))(x, w, b), which then is
printed by print_cpp.py as one call: linear(on, rows, depth, columns, x, w, y, then(Bias{b}, Apply<Relu>{})).
"""

from __future__ import annotations

import math
from collections import Counter

from needle import ops

from ..fused_ops import FusedConv, FusedGroupedConv, FusedMatMul, FusedTransposedConv, NormedBias, NormedWeight, Product
from ..ir import Node, apply


def open_epilogues(node: Node, uses: Counter[Node]) -> Node | None:
    """conv(x, w), x @ w  =>  the same with an empty epilogue, where w is known; leading axes of x become one"""
    match node:
        case Node(ops.Conv(stride, int(padding), 1, 1), (x, w)) if w.known:
            return apply(FusedConv(stride, padding), x, w)
        case Node(ops.Conv(stride, padding, groups, dilation), (x, w)) if w.known:
            rows, columns = (padding, padding) if isinstance(padding, int) else padding
            return apply(FusedGroupedConv(stride, (rows, columns), groups, dilation), x, w)
        case Node(ops.ConvInputGradient(stride, int(padding), height, width, 1, 1), (x, w)) if w.known:
            turned = apply(ops.Permute((0, 1, 3, 2)), w)
            return apply(FusedTransposedConv(stride, padding, height, width), x, turned)
        case Node(ops.MatMul(), (x, w)) if w.known and len(w.shape) == 2:
            if len(x.shape) == 2:
                return apply(FusedMatMul(), x, w)
            rows = apply(ops.Reshape((math.prod(x.shape[:-1]), x.shape[-1])), x)
            return apply(ops.Reshape(node.shape), apply(FusedMatMul(), rows, w))
    return None


def fuse_bias(node: Node, uses: Counter[Node]) -> Node | None:
    """product(x, w) + b  =>  product with a bias epilogue, for a known b (Co,) repeated over the rest"""
    match node:
        case Node(ops.EWiseAdd(), (Node(Product() as op, inputs) as product, b)) | Node(
            ops.EWiseAdd(), (b, Node(Product() as op, inputs) as product)
        ) if uses[product] == 1 and op.epilogue == ():
            bias = channel_constant(b, product)
            if bias is not None:
                return apply(with_step(op, "bias"), *inputs, bias)
    return None


def fold_batch_norm(node: Node, uses: Counter[Node]) -> Node | None:
    """g (product(x, w) + b - m) / sqrt(v + eps) + c  =>  product(x, w s) + ((b - m) s + c),  s = g / sqrt(v + eps)"""
    match node:
        case Node(
            ops.BatchNormInference(eps), (Node(Product() as op, (x, w, *rest)) as product, *norm)
        ):
            if uses[product] > 1 or op.epilogue not in ((), ("bias",)) or not all(n.known for n in (w, *rest, *norm)):
                return None
            scale, shift, mean, var = norm
            folded = apply(NormedWeight(eps), w, scale, var)
            bias = apply(NormedBias(eps), scale, shift, mean, var, *rest)
            return apply(with_step(type(op)(**{**vars(op), "epilogue": ()}), "bias"), x, folded, bias)
    return None


def fuse_relu(node: Node, uses: Counter[Node]) -> Node | None:
    """relu(product(x, w) ...)  =>  product with relu behind its epilogue"""
    match node:
        case Node(ops.ReLU(), (Node(Product() as op, inputs) as product,)) if uses[product] == 1:
            return apply(with_step(op, "relu"), *inputs)
    return None


def fuse_add(node: Node, uses: Counter[Node]) -> Node | None:
    """product(x, w) ... + r  =>  product that adds r behind its epilogue, for r of the same shape"""
    match node:
        case Node(ops.EWiseAdd(), (a, b)):
            for product, other in ((a, b), (b, a)):
                match product:
                    case Node(Product() as op, inputs) if (
                        uses[product] == 1
                        and "add" not in op.epilogue
                        and other is not product
                        and not isinstance(other.op, ops.BroadcastTo)
                        and list(map(str, other.shape)) == list(map(str, product.shape))
                    ):
                        return apply(with_step(op, "add"), *inputs, other)
    return None


def with_step(op: Product, step: str) -> Product:
    """The op with one more step at the end of its epilogue."""
    return type(op)(**{**vars(op), "epilogue": (*op.epilogue, step)})


def channel_constant(b: Node, product: Node) -> Node | None:
    """The known (Co,) that `b` repeats over all but the last axis of `product`; None if it is something else."""
    while isinstance(b.op, ops.BroadcastTo | ops.Reshape):
        b = b.inputs[0]
    channels = product.shape[-1]
    if not b.known or math.prod(b.shape) != channels or b.shape[-1:] not in ((), (channels,)):
        return None
    return b if b.shape == (channels,) else apply(ops.Reshape((channels,)), b)
