"""Rows for pooling and upsampling: what each output reads as tables of constants, the map with any strides."""

from __future__ import annotations

from typing import Any

from needle import ops
from needle.backend_ndarray.bands import Bands, adaptive, sliding

from ..ir import Node
from .lower import Lowering
from .views import View, braces, literal, number


def max_pool(low: Lowering, node: Node) -> View:
    """The largest number of every window."""
    view, out, rows, columns = _prepared(low, node)
    given = f"{rows}, {columns}, {_pixels(view)}, {_pixels(view)}"
    low.call(f"max_pool(on, {number(out.shape[0])}, {out.shape[3]}, {given}, {out.pointer})", out, view)
    return out


def resample(low: Lowering, node: Node) -> View:
    """Means of windows and upsampling: weighted sums over rows, then over columns."""
    view, out, rows, columns = _prepared(low, node)
    given = f"{rows}, {columns}, {_pixels(view)}"
    low.call(f"resample(on, {number(out.shape[0])}, {out.shape[3]}, {given}, {out.pointer})", out, view)
    return out


def _prepared(low: Lowering, node: Node) -> tuple[View, View, str, str]:
    """(images with channels side by side, memory for the result, the rows' windows, the columns' windows)."""
    view = low.view(node.inputs[0])
    if view.strides[3] != 1:
        view = low.in_order(view)
    out = low.new(node)
    rows, columns = (_table(low, bands, node) for bands in _bands(node))
    return view, out, rows, columns


def _bands(node: Node) -> list[Bands]:
    """What the rows and the columns of the result read."""
    op: Any = node.op
    if isinstance(op, ops.Upsample):
        return list(op.bands(node.inputs[0]))
    sizes = [int(size) for size in node.inputs[0].shape[1:3]]
    if isinstance(op, ops.AdaptiveMaxPool | ops.AdaptiveAvgPool):
        return [adaptive(size, count) for size, count in zip(sizes, op.size, strict=True)]
    return [sliding(*each) for each in zip(sizes, op.kernel, op.stride, op.padding, strict=True)]


def _table(low: Lowering, bands: Bands, node: Node) -> str:
    """A nd::Bands as C++ text, its tables declared before the call."""
    size, first, start, weights = bands.arrays
    name = f"w{len(low.lines)}"
    tables = f"const int64_t {name}_first[] = {braces(first.tolist())}, {name}_start[] = {braces(start.tolist())}"
    low.call(tables, comment=f"{node!r}")
    low.call(f"const float {name}_weight[] = {{{', '.join(map(literal, weights))}}}")
    return f"Bands{{{bands.outputs}, {size}, {name}_first, {name}_start, {name}_weight}}"


def _pixels(view: View) -> str:
    return f"Pixels{{{view.pointer}, {', '.join(map(number, view.strides[:3]))}}}"
