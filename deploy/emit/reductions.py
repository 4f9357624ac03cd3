"""Rows for kernels that work along an axis: sums, softmax, normalisations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from needle.types import Dim

from ..errors import EmitError
from ..ir import Node
from .lower import Lowering, Value
from .views import View, constant, literal, number, product


def rows(kernel: str) -> Callable[[Lowering, Node], Value]:
    """A kernel that changes each row of the last axis, in place if nobody else reads it."""

    def row(low: Lowering, node: Node) -> Value:
        view = low.dense(node.inputs[0])
        out = low.new(node, reuse=[view])
        low.call(f"{kernel}(on, {_matrix(view)}, {view.pointer}, {out.pointer})", out, view, comment=repr(node))
        return out

    return row


def summation(low: Lowering, node: Node) -> Value:
    """The summed axes moved behind the others, then summed as one."""
    view, count = _to_the_end(low, node)
    out = low.new(node)
    others = product(out.shape)
    blocks = -(-count // 4096)
    scratch = low.scratch(*_scaled(others, blocks)) if blocks > 1 else None
    pointer = scratch.name if scratch else "nullptr"
    used = [scratch] if scratch else []
    call = f"reduce<SumFold>(on, {constant(others)}, {count}, 1, {view.pointer}, {out.pointer}, {pointer})"
    low.call(call, out, view, *used, comment=repr(node))
    return out


def log_sum_exp(low: Lowering, node: Node) -> Value:
    """The axes moved behind the others, then one row for each result."""
    view, count = _to_the_end(low, node)
    out = low.new(node)
    call = f"logsumexp(on, {constant(product(out.shape))}, {constant(count)}, {view.pointer}, {out.pointer})"
    low.call(call, out, view, comment=repr(node))
    return out


def _to_the_end(low: Lowering, node: Node) -> tuple[View, int]:
    """Dense memory in which the reduced axes are last, and how many elements they have together."""
    (x,) = node.inputs
    rank = len(x.shape)
    axes: Any = range(rank) if node.op.axes is None else node.op.axes
    axes = [a % rank for a in ([axes] if isinstance(axes, int) else axes)]
    order = [a for a in range(rank) if a not in axes] + axes
    count = product([x.shape[a] for a in axes])
    if isinstance(count, Dim):
        raise EmitError(f"[emit] {node!r}: a reduction over the batch cannot be compiled")
    view = low.view(x).permute(order)
    return low.in_order(view), count


def _scaled(size: int, factor: int) -> tuple[int, str]:
    """size * factor floats, as a size per unit of a region."""
    return (size.scale * factor, "item") if isinstance(size, Dim) else (size * factor, "fixed")


def layer_norm(low: Lowering, node: Node) -> Value:
    """y, mean and rstd at once."""
    x, weight, bias = (low.dense(n) for n in node.inputs)
    y, mean, rstd = (low.temporary(t, "layer norm") for t in node.type)
    given = f"{x.pointer}, {weight.pointer}, {bias.pointer}, {literal(node.op.eps)}"
    call = f"layer_norm(on, {_matrix(x)}, {given}, {y.pointer}, {mean.pointer}, {rstd.pointer})"
    low.call(call, x, weight, bias, y, mean, rstd, comment=repr(node))
    return y, mean, rstd


def rms_norm(low: Lowering, node: Node) -> Value:
    """y and rstd at once."""
    x, weight = (low.dense(n) for n in node.inputs)
    y, rstd = (low.temporary(t, "rms norm") for t in node.type)
    given = f"{x.pointer}, {weight.pointer}, {literal(node.op.eps)}, {y.pointer}, {rstd.pointer}"
    low.call(f"rms_norm(on, {_matrix(x)}, {given})", x, weight, y, rstd, comment=repr(node))
    return y, rstd


def group_norm(low: Lowering, node: Node) -> Value:
    """y, mean and rstd at once."""
    x, weight, bias = (low.dense(n) for n in node.inputs)
    y, mean, rstd = (low.temporary(t, "group norm") for t in node.type)
    images, channels = x.shape[0], int(x.shape[-1])
    scratch = low.scratch(*_scaled(images, 6 * channels))  # group_norm_scratch
    shape = f"GroupShape{{{number(images)}, {int(product(x.shape[1:-1]))}, {channels}, {node.op.groups}}}"
    given = f"{x.pointer}, {weight.pointer}, {bias.pointer}, {literal(node.op.eps)}"
    results = f"{y.pointer}, {mean.pointer}, {rstd.pointer}, {scratch.name}"
    call = f"group_norm(on, {shape}, {given}, {results})"
    low.call(call, x, weight, bias, y, mean, rstd, scratch, comment=repr(node))
    return y, mean, rstd


def batch_norm(low: Lowering, node: Node) -> Value:
    """(x - mean) weight / sqrt(var + eps) + bias, per column."""
    x, *parameters = node.inputs
    view = low.dense(x)
    out = low.new(node, reuse=[view])
    given = ", ".join(low.dense(n).pointer for n in parameters)
    scratch = low.scratch(int(x.shape[-1]))
    given += f", {literal(node.op.eps)}, {out.pointer}, {scratch.name}"
    call = f"batch_norm_inference(on, {_matrix(view)}, {view.pointer}, {given})"
    low.call(call, out, view, scratch, *[low.dense(n) for n in parameters], comment=repr(node))
    return out


def _matrix(view: View) -> str:
    """rows, columns."""
    return f"{constant(product(view.shape[:-1]))}, {constant(view.shape[-1])}"
