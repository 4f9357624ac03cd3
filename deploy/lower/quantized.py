"""Rows for ops of quantized networks: maps of bytes lie dense, channels last."""

from __future__ import annotations

import math
from typing import Any

from needle import ops

from ..ir import Node, apply
from ..kernel_sizes import used_taps
from ..packed_weights import Pack
from ..program import View
from ..quantized_ops import PackBytes
from .lowering import Lowering, Value


def quantize(low: Lowering, node: Node) -> Value:
    """x with any strides: what has other axes than an image is one of one row or one pixel."""
    op, view = node.op, low.view(node.inputs[0])
    if len(view.shape) != 4:
        view = low.in_order(view).reshape((1, 1, math.prod(view.shape[:-1]), view.shape[-1]))
    out = low.new(node)
    sizes = (*view.shape, out.shape[-1], op.zero)
    low.call("quantize", sizes, reads=[view], writes=[out], numbers=(1 / op.step,), note=repr(node))
    return out


def dequantize(low: Lowering, node: Node) -> Value:
    """One sweep over memory."""
    view, out = low.dense(node.inputs[0]), low.new(node)
    sizes = (math.prod(out.shape), node.op.zero)
    low.call("dequantize", sizes, reads=[view], writes=[out], numbers=(node.op.step,), note=repr(node))
    return out


def byte_table(low: Lowering, node: Node) -> Value:
    """One table, or one for each channel."""
    view, table = low.dense(node.inputs[0]), low.dense(node.inputs[1])
    out = low.new(node)
    sizes = (math.prod(out.shape[:-1]), out.shape[-1], table.shape[0] if len(table.shape) == 2 else 1)
    low.call("byte_table", sizes, reads=[view, table], writes=[out], note=repr(node))
    return out


def conv(low: Lowering, node: Node) -> Value:
    """The taps that meet the map."""
    op, (x, w, *rest) = node.op, node.inputs
    images, height, width, depth = x.shape
    kernel, _, _, channels = w.shape
    (first, taps), (left, across) = (used_taps(n, kernel, op.stride, op.padding) for n in (height, width))
    kept = apply(ops.GetItem(((first, first + taps, 1), (left, left + across, 1))), w)
    matrix = apply(ops.Reshape((taps * across * depth, channels)), kept)
    sizes = (images, height, width, depth, channels, kernel, op.stride, op.padding, op.zero)
    packed = low.weight(w, apply(PackBytes(), matrix), "bytes", first, taps, left, across)
    return _product(low, node, packed, sizes, rest)


def matmul(low: Lowering, node: Node) -> Value:
    """A convolution of maps of one pixel."""
    x, w, *rest = node.inputs
    sizes = (x.shape[0], 1, 1, *w.shape, 1, 1, 0, 0)
    return _product(low, node, low.weight(w, apply(PackBytes(), w), "bytes"), sizes, rest)


def _product(low: Lowering, node: Node, packed: View, sizes: tuple[int, ...], rest: list[Node]) -> View:
    """The call, with the steps after the sums."""
    op: Any = node.op
    x = low.dense(node.inputs[0])
    start, scale = (low.weight(n, apply(Pack(), apply(ops.Reshape((1, *n.shape)), n)), "filled") for n in rest[:2])
    more = [low.dense(n) for n in rest[2:]]
    out = low.new(node)
    steps, added = op.epilogue, "add" in op.epilogue
    first, last = steps[:1] == ("relu",) and added, steps[-1:] == ("relu",)
    sizes = (*sizes, int(first), int(last), op.other, op.result)
    reads = [x, packed, start, scale, *more]
    low.call("byte_conv", sizes, reads=reads, writes=[out], numbers=(op.ratio,), functor=op.dtype, note=repr(node))
    return out
