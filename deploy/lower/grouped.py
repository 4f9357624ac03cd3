"""Rows for convolutions that the kernels of products.py do not take: in groups of channels, with dilated kernels, with
rows and columns padded apart, or whose weights are computed.
"""

from __future__ import annotations

import numpy

from needle import ops
from needle.types import Type

from ..errors import EmitError
from ..ir import Node, apply, constant
from ..program import View
from .lowering import Lowering, Value
from .products import epilogue


def grouped_conv(low: Lowering, node: Node) -> Value:
    """A channel by itself has a kernel for that; other groups share theirs."""
    op, (x, w, *rest) = node.op, node.inputs
    steps = getattr(op, "epilogue", ())
    padding = (op.padding, op.padding) if isinstance(op.padding, int) else tuple(op.padding)
    if w.shape[2] == 1 and w.shape[3] == op.groups:
        view = low.view(x)
        view = view if view.strides[3] == 1 else low.in_order(view)
        sizes = (*x.shape, w.shape[0], op.stride, *padding, op.dilation)
        given, kernel = [view, low.dense(w)], "depthwise"
    else:
        view, around = _framed(low, low.view(x), padding)
        weight = _dilated(node, w, op.dilation)
        sizes = (*view.shape, w.shape[3], weight.shape[0], op.stride, around, op.groups)
        given, kernel = [view, low.dense(weight)], "grouped_conv"
    out = low.new(node)
    reads = [*given, *epilogue(low, steps, rest)]
    low.call(kernel, sizes, reads=reads, writes=[out], epilogue=steps, note=repr(node))
    return out


def _dilated(node: Node, w: Node, dilation: int) -> Node:
    """The kernel with zeros between its taps."""
    if dilation == 1:
        return w
    if not w.known:
        raise EmitError(f"[emit] {node!r}: a dilated convolution in groups must have constant weights")
    reach = (w.shape[0] - 1) * dilation + 1
    wide = apply(ops.Dilate((0, 1), dilation - 1), w)
    return apply(ops.GetItem(((0, reach, 1), (0, reach, 1), (None, None, 1), (None, None, 1))), wide)


def _framed(low: Lowering, view: View, padding: tuple[int, int]) -> tuple[View, int]:
    """The images, and the one padding that is left: where rows and columns differ, zeros are put around them."""
    rows, columns = padding
    if rows == columns:
        return view, rows
    images, height, width, channels = view.shape
    wide = low.temporary(Type((images, height + 2 * rows, width + 2 * columns, channels)), "zeros around images")
    zero = constant(numpy.zeros(1, "float32"))
    low.copy(wide, low.weight(zero, zero).broadcast(wide.shape))
    low.copy(wide.slice(1, rows, height).slice(2, columns, width), view)
    return wide, 0
