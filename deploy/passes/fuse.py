"""Batch normalisation into the weights; bias, activation and residual sum into the product before them.

A rule maps a node to an equal one, or to None where it does not apply; rewrite.py applies it until nothing changes. Its
docstring says what becomes of what. relu(x @ w + b) becomes FusedMatMul(("bias", "relu"))(x, w, b), which then is
printed by print_cpp.py as one call: linear(on, rows, depth, columns, x, w, y, then(Bias{b}, Apply<Relu>{})).
"""

from __future__ import annotations

import math
from collections import Counter

from needle import ops

from ..fused_ops import NormedBias, NormedWeight, Product
from ..ir import Node, apply, same_type
from .reasons import called, no_sum, only_read, repeats_a_weight, unfinished
from .rewrite import Kept


def fuse_bias(node: Node, uses: Counter[Node]) -> Node | Kept | None:
    """product(x, w) + b  =>  product with a bias epilogue, for a known b (Co,) repeated over the rest"""
    match node:
        case Node(ops.EWiseAdd(), (Node(Product() as op, inputs) as product, b)) | Node(
            ops.EWiseAdd(), (b, Node(Product() as op, inputs) as product)
        ):
            bias = channel_constant(b, product) if same_type(node.type, product.type) else None
            if bias is None:
                return Kept("what is added to the product is no weight with a number for each channel")
            return only_read(product, uses) or unfinished(op) or apply(with_step(op, "bias"), *inputs, bias)
        case Node(ops.EWiseAdd(), (a, b)) if repeats_a_weight(a) or repeats_a_weight(b):
            return Kept(f"it is added to {called(b if repeats_a_weight(a) else a)}, not to a product")
    return None


def fold_batch_norm(node: Node, uses: Counter[Node]) -> Node | Kept | None:
    """g (product(x, w) + b - m) / sqrt(v + eps) + c  =>  product(x, w s) + ((b - m) s + c),  s = g / sqrt(v + eps)"""
    match node:
        case Node(ops.BatchNormInference(eps), (Node(Product() as op, (x, w, *rest)) as product, *norm)):
            kept = only_read(product, uses) or (unfinished(op) if op.epilogue != ("bias",) else None)
            if kept is not None or not all(n.known for n in (w, *rest, *norm)):
                return kept or Kept("its scale, shift, mean or variance is computed, not a weight")
            scale, shift, mean, var = norm
            folded = apply(NormedWeight(eps), w, scale, var)
            bias = apply(NormedBias(eps), scale, shift, mean, var, *rest)
            return apply(with_step(type(op)(**{**vars(op), "epilogue": ()}), "bias"), x, folded, bias)
        case Node(ops.BatchNormInference(), (x, *_)):
            return Kept(f"it follows {called(x)}, not a product")
    return None


def fuse_relu(node: Node, uses: Counter[Node]) -> Node | Kept | None:
    """relu(product(x, w) ...)  =>  product with relu behind its epilogue"""
    match node:
        case Node(ops.ReLU(), (Node(Product() as op, inputs) as product,)):
            return only_read(product, uses) or apply(with_step(op, "relu"), *inputs)
        case Node(ops.ReLU(), (x,)):
            return Kept(f"it follows {called(x)}, not a product")
    return None


def fuse_add(node: Node, uses: Counter[Node]) -> Node | Kept | None:
    """product(x, w) ... + r  =>  product that adds r behind its epilogue, for r of the same shape"""
    match node:
        case Node(ops.EWiseAdd(), (a, b)):
            pairs = [(x, y) for x, y in ((a, b), (b, a)) if isinstance(x.op, Product)]
            reasons = [no_sum(product, other, uses) for product, other in pairs]
            for (product, other), reason in zip(pairs, reasons, strict=True):
                if reason is None:
                    return apply(with_step(product.op, "add"), *product.inputs, other)
            return next((x for x in reasons if x), Kept(f"it adds {called(a)} and {called(b)}, neither a product"))
    return None


def with_step(op: Product, step: str) -> Product:
    """The op with one more step at the end of its epilogue."""
    return type(op)(**{**vars(op), "epilogue": (*op.epilogue, step)})


def channel_constant(b: Node, product: Node) -> Node | None:
    """The known (Co,) that `b` repeats over all but the last axis of `product`; None if it is something else."""
    channels = product.shape[-1]
    while isinstance(b.op, ops.BroadcastTo | ops.Reshape) and b.shape[-1:] == (channels,):  # so (Co, 1) is none
        b = b.inputs[0]
    fits = b.known and b.type.dtype == product.type.dtype and math.prod(b.shape) == channels
    if not fits or b.shape[-1:] not in ((), (channels,)):
        return None
    return b if b.shape == (channels,) else apply(ops.Reshape((channels,)), b)
