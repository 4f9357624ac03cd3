"""Convolutions along any axes, transposed too, as products of windows and weights."""

from __future__ import annotations

from math import prod
from typing import Any

from needle import ops
from needle.sizes import Size

from ..fused_ops import Unfold
from ..ir import Node, apply
from ..onnx.make import Unsupported, permute, reshape
from .arithmetic import known_sizes, mul, total


def as_product(node: Node) -> Node:
    """Windows of all channels times weights, for each group."""
    op, x = node.op, node.inputs[0]
    w, pads = _that_reach(node)
    *kernel, depth, channels = w.shape
    rank, taps, groups = len(kernel), prod(kernel), op.groups
    out = node.shape[1:-1]
    rows = x.shape[0] * prod(out)
    plain = taps == 1 and set(op.stride) == {1} and not any(map(any, pads)) and out == x.shape[1:-1]
    seen = x if plain else apply(Unfold(1, tuple(kernel), op.stride, pads, op.dilation, tuple(out)), x)
    order = (rank, *range(rank), rank + 1)  # channels first, as windows have them
    if groups == 1:
        matrix = apply(ops.Reshape((depth * taps, channels)), apply(ops.Permute(order), w))
        y = apply(ops.MatMul(), apply(ops.Reshape((rows, depth * taps)), seen), matrix)
    elif depth == 1 and channels == groups:  # each channel by itself
        weight = apply(ops.Reshape((channels, taps)), apply(ops.Permute((rank + 1, rank, *range(rank))), w))
        y = total(mul(apply(ops.Reshape((rows, channels, taps)), seen), weight), 2)
    else:
        parts = apply(ops.Permute((1, 0, 2)), apply(ops.Reshape((rows, groups, depth * taps)), seen))
        matrix = apply(ops.Reshape((depth * taps, groups, channels // groups)), apply(ops.Permute(order), w))
        y = apply(ops.MatMul(), parts, apply(ops.Permute((1, 0, 2)), matrix))
        y = apply(ops.Permute((1, 0, 2)), y)
    return apply(ops.Reshape(node.shape), y)


def _that_reach(node: Node) -> tuple[Node, tuple[tuple[int, int], ...]]:
    """The weights without the first and last taps along an axis that only ever meet padding, and the padding left."""
    op, (x, w) = node.op, node.inputs
    kept, pads = [], []
    befores = [before for before, _ in op.padding]
    for n, count, kernel, s, d, a in zip(
        x.shape[1:-1], node.shape[1:-1], w.shape, op.stride, op.dilation, befores, strict=False
    ):
        if isinstance(n, Size) or isinstance(count, Size):
            return w, op.padding
        first = [max(0, -((u * d - a) // s)) for u in range(kernel)]  # the first window whose tap is not before x
        taps = [u for u, i in enumerate(first) if i < count and i * s + u * d - a < n] or [0]
        low, high = min(taps[0], a // d), taps[-1]  # where the first window begins inside, its first tap is kept
        kept.append((low, high + 1, 1))
        a -= low * d
        pads.append((a, max(0, (count - 1) * s + (high - low) * d - a - n + 1)))
    if all(k == (0, n, 1) for k, n in zip(kept, w.shape, strict=False)):
        return w, op.padding
    return apply(ops.GetItem((*kept, (None, None, 1), (None, None, 1))), w), tuple(pads)


def transposed(node: Node) -> Node:
    """The convolution of g, with zeros between its elements, and the weights turned round."""
    op, (g, w) = node.op, node.inputs
    *kernel, depth, channels = w.shape
    rank, groups = len(kernel), op.groups
    known_sizes(*op.size, *g.shape[1:-1])
    padding = []
    for a in range(rank):
        n, s, reach = g.shape[1 + a], op.stride[a], (kernel[a] - 1) * op.dilation[a]
        if s > 1:
            g = apply(ops.Dilate((1 + a,), s - 1), g)
            g = apply(ops.GetItem((*[(None, None, 1)] * (1 + a), (0, (n - 1) * s + 1, 1))), g)
        before = reach - op.padding[a][0]
        after = op.size[a] - g.shape[1 + a] - before + reach
        if before < 0 or after < 0:
            cut = (max(0, -before), g.shape[1 + a] - max(0, -after), 1)
            if cut[0] >= cut[1]:
                raise Unsupported("nothing of the operand is left")
            g = apply(ops.GetItem((*[(None, None, 1)] * (1 + a), cut)), g)
        padding.append((max(0, before), max(0, after)))
    turned = apply(ops.Flip(tuple(range(rank))), w)
    turned = reshape(turned, (*kernel, depth, groups, channels // groups))
    turned = permute(turned, (*range(rank), rank + 2, rank + 1, rank))
    turned = reshape(turned, (*kernel, channels // groups, groups * depth))
    return apply(ops.ConvND((1,) * rank, tuple(padding), op.dilation, groups), g, turned)


def of_image(node: Node) -> Node:
    """A transposed convolution that the kernel of images does not take, as one along any axes."""
    op, (g, w) = node.op, node.inputs
    if isinstance(op.padding, int) and (op.groups, op.dilation) == (1, 1):
        raise Unsupported("it has a kernel")
    rows, columns = (op.padding,) * 2 if isinstance(op.padding, int) else op.padding
    size = known_sizes(*node.shape[1:3])
    padding = ((rows, rows), (columns, columns))
    return apply(ops.ConvNDInputGradient((op.stride,) * 2, padding, (op.dilation,) * 2, op.groups, size), g, w)


def dilated(node: Node) -> Node:
    """A convolution of images whose taps are apart, as products: the wide kernel would be zeros for the most part."""
    op, (x, w) = node.op, node.inputs
    if op.dilation == 1 or op.groups > 1:
        raise Unsupported("it has a kernel")
    padding = (op.padding,) * 2 if isinstance(op.padding, int) else op.padding
    pairs = tuple((p, p) for p in padding)
    return as_product(apply(ops.ConvND((op.stride,) * 2, pairs, (op.dilation,) * 2, op.groups), x, w))


TABLE: dict[type, Any] = {ops.ConvNDInputGradient: transposed, ops.ConvInputGradient: of_image}
AS_PRODUCTS: dict[type, Any] = {ops.ConvND: as_product, ops.Conv: dilated}
