"""Rows for kernels that work along an axis: sums, softmax, normalisations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from needle.sizes import Size, unit
from needle.types import Type

from ..errors import EmitError
from ..ir import Node
from ..program import View
from .elements import as_dtype, computed, number_of, of_views
from .lowering import Lowering, Value


def rows(kernel: str) -> Callable[[Lowering, Node], Value]:
    """A kernel that changes each row of the last axis, in place if nobody else reads it."""

    def row(low: Lowering, node: Node) -> Value:
        view = low.dense(node.inputs[0])
        out = low.new(node, reuse=[view])
        low.call(kernel, _matrix(view), reads=[view], writes=[out], note=repr(node))
        return out

    return row


def summation(low: Lowering, node: Node) -> Value:
    """The summed axes as one."""
    return _folded(low, node, "SumFold", "Add")


def extremum(fold: str, functor: str) -> Callable[[Lowering, Node], Value]:
    """The largest or the smallest element."""
    return lambda low, node: _folded(low, node, fold, functor)


def _folded(low: Lowering, node: Node, fold: str, functor: str) -> View:
    """A fold of floats where they lie, if they lie side by side, or of whole numbers by a functor of two."""
    if low.view(node.inputs[0]).dtype != "float32":
        return _folded_elements(low, node, functor)
    view, kept, axes, count = _axes(low, node)
    found = _where_they_lie(view, kept, axes)
    x, inner = found if found else (low.in_order(view.permute([*kept, *axes])), 1)
    out = low.new(node)
    low.call("reduce", (_outer(out, inner), count, inner), reads=[x], writes=[out], functor=fold, note=repr(node))
    return out


def _where_they_lie(view: View, kept: list[int], axes: list[int]) -> tuple[View, int] | None:
    """The view with the reduced axes side by side, in the order of memory, and how many elements are behind them."""
    for k in range(len(kept), -1, -1):
        x, inner = view.permute([*kept[:k], *axes, *kept[k:]]), math.prod(view.shape[a] for a in kept[k:])
        if x.dense and not isinstance(inner, Size):
            return x, inner
    return None


def _outer(out: View, inner: int) -> int:
    """How many groups of `inner` results there are."""
    size, known = unit(math.prod(out.shape))
    return size // inner * known


def product(low: Lowering, node: Node) -> Value:
    """The product over axes."""
    return _folded_elements(low, node, "Multiply")


def of_range(low: Lowering, node: Node) -> Value:
    """The largest or the smallest; of bool too."""
    return _folded_elements(low, node, "Maximum" if node.op.largest else "Minimum")


def _folded_elements(low: Lowering, node: Node, functor: str) -> View:
    view, count = _to_the_end(low, node)
    out = low.new(node)
    sizes = (math.prod(out.shape), count)
    low.call("fold_elements", sizes, reads=[view], writes=[out], functor=functor, note=repr(node))
    return out


def mean(low: Lowering, node: Node) -> Value:
    """The axes moved behind the others, then one row for each result."""
    dtype = node.type.dtype
    if dtype != "float32":
        view, count = _to_the_end(low, node)
        total = low.temporary(Type(node.shape, computed(dtype)), "a sum")
        sizes = (math.prod(node.shape), count)
        low.call("fold_elements", sizes, reads=[view], writes=[total], functor="Add", note=repr(node))
        if isinstance(count, Size):
            raise EmitError(f"[emit] {node!r}: a mean of {dtype} needs sizes that are known")
        return as_dtype(low, of_views(low, "Divide", total, number_of(low, count, total.dtype)), dtype)
    view, kept, axes, count = _axes(low, node)
    found = _where_they_lie(view, kept, axes)
    if found is None or found[1] == 1 or isinstance(count, Size) or view.dtype != "float32":
        return _of_rows(low, node, "mean")
    x, inner = found
    sums, out = low.temporary(node.type, "sums"), low.new(node)
    low.call("reduce", (_outer(out, inner), count, inner), reads=[x], writes=[sums], functor="SumFold", note=repr(node))
    low.call("map", [math.prod(out.shape)], reads=[sums], writes=[out], numbers=(count,), functor="DivideScalar")
    return out


def variance(low: Lowering, node: Node) -> Value:
    """The axes moved behind the others, then one row for each result."""
    if node.type.dtype == "float64":
        view, count = _to_the_end(low, node, "float64")
        rows = view.reshape((math.prod(node.shape), count))
        own = _mean_of_rows(low, node, rows, count)
        centred = of_views(low, "Subtract", rows, own.reshape((own.shape[0], 1)))
        squares = of_views(low, "Multiply", centred, centred)
        return _mean_of_rows(low, node, squares, count - node.op.correction).reshape(node.shape)
    return _of_rows(low, node, "variance", float(node.op.correction))


def _mean_of_rows(low: Lowering, node: Node, rows: View, divisor: int) -> View:
    """Sums of rows of doubles over a number."""
    if isinstance(divisor, Size):
        raise EmitError(f"[emit] {node!r}: a mean of float64 needs sizes that are known")
    total = low.temporary(Type(rows.shape[:1], rows.dtype), "a sum")
    low.call("fold_elements", rows.shape, reads=[rows], writes=[total], functor="Add", note=repr(node))
    return of_views(low, "Divide", total, number_of(low, divisor, rows.dtype))


def _of_rows(low: Lowering, node: Node, kernel: str, *numbers: float) -> View:
    view, count = _to_the_end(low, node, "float32")
    out = low.new(node)
    low.call(kernel, (math.prod(out.shape), count), reads=[view], writes=[out], numbers=numbers, note=repr(node))
    return out


def log_sum_exp(low: Lowering, node: Node) -> Value:
    """The axes moved behind the others, then one row for each result."""
    view, count = _to_the_end(low, node)
    out = low.new(node)
    low.call("logsumexp", (math.prod(out.shape), count), reads=[view], writes=[out], note=repr(node))
    return out


def _to_the_end(low: Lowering, node: Node, dtype: str = "") -> tuple[View, int]:
    """Dense memory, of a dtype, in which the reduced axes are last, and how many elements they have together."""
    view, kept, axes, count = _axes(low, node)
    return low.in_order(as_dtype(low, view, dtype or view.dtype).permute([*kept, *axes])), count


def _axes(low: Lowering, node: Node) -> tuple[View, list[int], list[int], int]:
    """The value, the axes that are kept, those that are reduced, and how many elements these have together."""
    (x,) = node.inputs
    rank = len(x.shape)
    axes: Any = range(rank) if node.op.axes is None else node.op.axes
    axes = [a % rank for a in ([axes] if isinstance(axes, int) else axes)]
    count = math.prod([x.shape[a] for a in axes])
    return low.view(x), [a for a in range(rank) if a not in axes], axes, count


def layer_norm(low: Lowering, node: Node) -> Value:
    """y, mean and rstd at once."""
    given = [low.dense(n) for n in node.inputs]
    results = tuple(low.temporary(t, "layer norm") for t in node.type)
    low.call("layer_norm", _matrix(given[0]), reads=given, writes=results, numbers=(node.op.eps,), note=repr(node))
    return results


def rms_norm(low: Lowering, node: Node) -> Value:
    """y and rstd at once."""
    given = [low.dense(n) for n in node.inputs]
    results = tuple(low.temporary(t, "rms norm") for t in node.type)
    low.call("rms_norm", _matrix(given[0]), reads=given, writes=results, numbers=(node.op.eps,), note=repr(node))
    return results


def group_norm(low: Lowering, node: Node) -> Value:
    """y, mean and rstd at once."""
    given = [low.dense(n) for n in node.inputs]
    results = tuple(low.temporary(t, "group norm") for t in node.type)
    images, *pixels, channels = given[0].shape
    sizes = (images, math.prod(pixels), channels, node.op.groups)
    low.call("group_norm", sizes, reads=given, writes=results, numbers=(node.op.eps,), note=repr(node))
    return results


def batch_norm(low: Lowering, node: Node) -> Value:
    """(x - mean) weight / sqrt(var + eps) + bias, per column."""
    x, *parameters = node.inputs
    view = low.dense(x)
    out = low.new(node, reuse=[view])
    given = [view, *map(low.dense, parameters)]
    low.call("batch_norm_inference", _matrix(view), reads=given, writes=[out], numbers=(node.op.eps,), note=repr(node))
    return out


def _matrix(view: View) -> tuple[int, int]:
    """(rows, columns)."""
    return math.prod(view.shape[:-1]), view.shape[-1]
