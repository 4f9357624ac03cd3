"""Batch normalisation into the weights; bias, activation and residual sum into the product before them.

A rule maps a node to an equal one, or to None where it does not apply; rewrite.py applies it until nothing changes. Its
docstring says what becomes of what. relu(x @ w + b) becomes FusedMatMul(("bias", "relu"))(x, w, b), which then is
printed by print_cpp.py as one call: linear(on, rows, depth, columns, x, w, y, then(Bias{b}, Apply<Relu>{})).
"""

from __future__ import annotations

import math
from collections import Counter

from needle import ops

from ..fused_ops import FusedConv, FusedMatMul, FusedTransposedConv, NormedBias, NormedWeight, Product
from ..ir import Node, apply
from .rewrite import Kept


def open_epilogues(node: Node, uses: Counter[Node]) -> Node | Kept | None:
    """conv(x, w), x @ w  =>  the same with an empty epilogue, where w is known; leading axes of x become one"""
    match node:
        case Node(ops.Conv(stride, int(padding), 1, 1), (x, w)) if w.known:
            return apply(FusedConv(stride, padding), x, w)
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
    if op.groups > 1:
        return f"it has {op.groups} groups of channels"
    return f"its taps are {op.dilation} apart" if op.dilation > 1 else "its padding differs along its two axes"


def fuse_bias(node: Node, uses: Counter[Node]) -> Node | Kept | None:
    """product(x, w) + b  =>  product with a bias epilogue, for a known b (Co,) repeated over the rest"""
    match node:
        case Node(ops.EWiseAdd(), (Node(Product() as op, inputs) as product, b)) | Node(
            ops.EWiseAdd(), (b, Node(Product() as op, inputs) as product)
        ):
            bias = channel_constant(b, product)
            if bias is None:
                return Kept("what is added to the product is no weight with a number for each channel")
            return _only_read(product, uses) or _unfinished(op) or apply(with_step(op, "bias"), *inputs, bias)
        case Node(ops.EWiseAdd(), (a, b)) if _repeats_a_weight(a) or _repeats_a_weight(b):
            return Kept(f"it is added to {_called(b if _repeats_a_weight(a) else a)}, not to a product")
    return None


def fold_batch_norm(node: Node, uses: Counter[Node]) -> Node | Kept | None:
    """g (product(x, w) + b - m) / sqrt(v + eps) + c  =>  product(x, w s) + ((b - m) s + c),  s = g / sqrt(v + eps)"""
    match node:
        case Node(
            ops.BatchNormInference(eps), (Node(Product() as op, (x, w, *rest)) as product, *norm)
        ):
            kept = _only_read(product, uses) or (_unfinished(op) if op.epilogue != ("bias",) else None)
            if kept is not None or not all(n.known for n in (w, *rest, *norm)):
                return kept or Kept("its scale, shift, mean or variance is computed, not a weight")
            scale, shift, mean, var = norm
            folded = apply(NormedWeight(eps), w, scale, var)
            bias = apply(NormedBias(eps), scale, shift, mean, var, *rest)
            return apply(with_step(type(op)(**{**vars(op), "epilogue": ()}), "bias"), x, folded, bias)
        case Node(ops.BatchNormInference(), (x, *_)):
            return Kept(f"it follows {_called(x)}, not a product")
    return None


def fuse_relu(node: Node, uses: Counter[Node]) -> Node | Kept | None:
    """relu(product(x, w) ...)  =>  product with relu behind its epilogue"""
    match node:
        case Node(ops.ReLU(), (Node(Product() as op, inputs) as product,)):
            return _only_read(product, uses) or apply(with_step(op, "relu"), *inputs)
        case Node(ops.ReLU(), (x,)):
            return Kept(f"it follows {_called(x)}, not a product")
    return None


def fuse_add(node: Node, uses: Counter[Node]) -> Node | Kept | None:
    """product(x, w) ... + r  =>  product that adds r behind its epilogue, for r of the same shape"""
    match node:
        case Node(ops.EWiseAdd(), (a, b)):
            pairs = [(x, y) for x, y in ((a, b), (b, a)) if isinstance(x.op, Product)]
            reasons = [_no_add(product, other, uses) for product, other in pairs]
            for (product, other), reason in zip(pairs, reasons, strict=True):
                if reason is None:
                    return apply(with_step(product.op, "add"), *product.inputs, other)
            return next((x for x in reasons if x), Kept(f"it adds {_called(a)} and {_called(b)}, neither a product"))
    return None


def _no_add(product: Node, other: Node, uses: Counter[Node]) -> Kept | None:
    """Why a sum cannot be the last step of the product."""
    if other is product or uses[product] > 1:
        return Kept(f"the product is read {uses[product]} times")
    if "add" in product.op.epilogue:
        return Kept("the product has a sum in its epilogue already")
    if isinstance(other.op, ops.BroadcastTo) or list(map(str, other.shape)) != list(map(str, product.shape)):
        return Kept("what is added to the product has another shape, or is repeated")
    return None


def with_step(op: Product, step: str) -> Product:
    """The op with one more step at the end of its epilogue."""
    return type(op)(**{**vars(op), "epilogue": (*op.epilogue, step)})


def _only_read(product: Node, uses: Counter[Node]) -> Kept | None:
    """A product that others read too has to be stored as it is."""
    return Kept(f"the product is read {uses[product]} times") if uses[product] > 1 else None


def _unfinished(op: Product) -> Kept | None:
    """A step that comes before all others."""
    return Kept(f"the product has an epilogue already: {', '.join(op.epilogue)}") if op.epilogue else None


def _repeats_a_weight(x: Node) -> bool:
    """Whether it is known, or the repetition of something known."""
    return x.known or (isinstance(x.op, ops.BroadcastTo) and x.inputs[0].known)


def _called(x: Node) -> str:
    """The op of a node, as text speaks of it; of what only moves with what it moves."""
    name = type(x.op).__name__
    return f"{name} of {_called(x.inputs[0])}" if isinstance(x.op, ops.Reshape | ops.Permute) else name


def channel_constant(b: Node, product: Node) -> Node | None:
    """The known (Co,) that `b` repeats over all but the last axis of `product`; None if it is something else."""
    while isinstance(b.op, ops.BroadcastTo | ops.Reshape):
        b = b.inputs[0]
    channels = product.shape[-1]
    if not b.known or math.prod(b.shape) != channels or b.shape[-1:] not in ((), (channels,)):
        return None
    return b if b.shape == (channels,) else apply(ops.Reshape((channels,)), b)
