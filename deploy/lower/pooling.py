"""Rows for pooling and upsampling: what each output reads as tables of constants, the map with any strides."""

from __future__ import annotations

from typing import Any

from needle import ops
from needle.backend_ndarray.bands import Bands, adaptive, sliding

from ..errors import EmitError
from ..ir import Node
from ..program import View
from .lowering import Lowering


def max_pool(low: Lowering, node: Node) -> View:
    """The largest number of every window: of floats, or of bytes, which lie in order."""
    dtype = node.type.dtype
    if dtype not in ("float32", "uint8"):
        raise EmitError(f"[emit] {node!r}: programs have this op in float32 and uint8, not in {dtype}: cast it")
    return _over_windows(low, node, "max_pool" if dtype == "float32" else "byte_max_pool")


def resample(low: Lowering, node: Node) -> View:
    """Means of windows and upsampling: weighted sums over rows, then over columns."""
    return _over_windows(low, node, "resample")


def _over_windows(low: Lowering, node: Node, kernel: str) -> View:
    """Images whose channels lie side by side, and what the rows and the columns of the result read."""
    view = low.view(node.inputs[0])
    if view.strides[3] != 1 or kernel == "byte_max_pool":
        view = low.in_order(view)
    out = low.new(node)
    sizes = (out.shape[0], out.shape[3])
    low.call(kernel, sizes, reads=[view], writes=[out], windows=tuple(_bands(node)), note=repr(node))
    return out


def _bands(node: Node) -> list[Bands]:
    """What the rows and the columns of the result read."""
    op: Any = node.op
    if isinstance(op, ops.Upsample):
        return list(op.bands(node.inputs[0]))
    sizes = [int(size) for size in node.inputs[0].shape[1:3]]
    if isinstance(op, ops.AdaptiveMaxPool | ops.AdaptiveAvgPool):
        return [adaptive(size, count) for size, count in zip(sizes, op.size, strict=True)]
    return [sliding(*each) for each in zip(sizes, op.kernel, op.stride, op.padding, strict=True)]
