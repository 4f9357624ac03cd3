"""Operators that put many elements into one: sums, means, norms, softmax, places of extrema, products by indices."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy

from needle import ops
from needle.sizes import Size

from ...ir import Node
from .. import make
from ..at import At
from ..dtypes import is_float
from ..make import apply, axis_of, cast, last, mul, permute, reshape, total
from ..ops import Det, Einsum, Extremum, OneHot, Product
from ..row import Row, written


def _axes(at: At, x: Node, axes: Node | None) -> tuple[int, ...] | None:
    """The axes to reduce; None where there is nothing to do."""
    given = at.given(axes, "axes")
    rank = len(x.shape)
    if not given:
        return None if at.get("noop_with_empty_axes", 0) else tuple(range(rank))
    return tuple(axis_of(a, rank) for a in given)


def _reduce(of: Callable[[Node, tuple[int, ...], bool], Node], before: Any = None, after: Any = None) -> Any:
    """`after` of the reduction `of` the elements `before` has changed."""

    def read(at: At, x: Node, axes: Node | None = None) -> Node:
        chosen = _axes(at, x, axes)
        y = before(x) if before else x
        if chosen is not None:
            y = of(y, chosen, bool(at.get("keepdims", 1)))
        return after(y) if after else y

    return read


def _mean(x: Node, axes: tuple[int, ...], keep: bool) -> Node:
    if is_float(x.type.dtype):
        return make.mean(x, axes, keep)
    return cast(make.mean(cast(x, "float64"), axes, keep), x.type.dtype)


def _extremum(largest: bool) -> Callable[[Node, tuple[int, ...], bool], Node]:
    op = ops.Max if largest else ops.Min

    def of(x: Node, axes: tuple[int, ...], keep: bool) -> Node:
        if any(not isinstance(x.shape[i], Size) and x.shape[i] == 0 for i in axes):
            return apply(Extremum(axes, keep, largest), x)
        return apply(op(axes, keep), x) if axes else x

    return of


def _log_sum_exp(x: Node, axes: tuple[int, ...], keep: bool) -> Node:
    if any(not isinstance(x.shape[i], Size) and x.shape[i] == 0 for i in axes):
        return apply(ops.Log(), total(apply(ops.Exp(), x), axes, keep))
    y = apply(ops.LogSumExp(axes), x) if axes else x
    return reshape(y, make.keep_shape(x, axes)) if keep and axes else y


def _in_floats(x: Node) -> Node:
    return x if is_float(x.type.dtype) else cast(x, "float64")


def _square(x: Node) -> Node:
    return mul(x, x)


def _product(x: Node, axes: tuple[int, ...], keep: bool) -> Node:
    return apply(Product(axes, keep), x)


def _softmax(op: Any) -> Any:
    def read(at: At, x: Node) -> Node:
        alone = at.opset >= 13
        return softmax(op, x, at.get("axis", -1 if alone else 1), alone)

    return read


def softmax(op: Any, x: Node, axis: int, alone: bool) -> Node:
    """Of one axis or, as it was before opset 13, of all that is from it on."""
    axis = axis_of(axis, len(x.shape))
    if alone:
        moved, back = last(x, axis)
        return permute(apply(op, moved), back)
    flat = reshape(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))
    return reshape(apply(op, flat), x.shape)


def _hardmax(at: At, x: Node) -> Node:
    rank = len(x.shape)
    axis = axis_of(at.get("axis", -1 if at.opset >= 13 else 1), rank)
    if at.opset < 13:
        flat = reshape(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))
        return reshape(_hot(flat, 1), x.shape)
    return _hot(x, axis)


def _hot(x: Node, axis: int) -> Node:
    place = apply(ops.ArgMax(axis), x)
    return apply(OneHot(x.shape[axis], axis), place, make.const(numpy.array([0, 1]), x.type.dtype))


def _arg(op: Any) -> Any:
    def read(at: At, x: Node) -> Node:
        axis = axis_of(at.get("axis", 0), len(x.shape))
        return apply(op(axis, bool(at.get("keepdims", 1)), bool(at.get("select_last_index", 0))), x)

    return read


def _topk(at: At, x: Node, k: Node | None = None) -> tuple[Node, ...]:
    (count,) = at.given(k, "k") or (1,)
    axis = axis_of(at.get("axis", -1), len(x.shape))
    return make.items(ops.TopK(count, axis, bool(at.get("largest", 1))), x)


def _einsum(at: At, *inputs: Node) -> Node:
    equation = at.get("equation").replace(" ", "")
    found = as_product(equation, inputs)
    return apply(Einsum(equation), *inputs) if found is None else found


def as_product(equation: str, inputs: tuple[Node, ...]) -> Node | None:
    """The equation as one matrix product of permuted operands, if it is one: needle's own op, with its kernel."""
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if not arrow or "." in equation or len(terms) != 2 or any(len(set(t)) != len(t) for t in (*terms, right)):
        return None
    a, b = terms
    if any(not is_float(x.type.dtype) for x in inputs):
        return None
    batch = [c for c in a if c in b and c in right]
    summed = [c for c in a if c in b and c not in right]
    rows, columns = [c for c in a if c not in b], [c for c in b if c not in a]
    if not summed or any(c not in right for c in rows + columns):
        return None
    size = {c: n for t, x in zip(terms, inputs, strict=True) for c, n in zip(t, x.shape, strict=True)}
    first = permute(inputs[0], [a.index(c) for c in batch + rows + summed])
    second = permute(inputs[1], [b.index(c) for c in batch + summed + columns])
    lead = [size[c] for c in batch]
    m, k, n = (math.prod(size[c] for c in part) for part in (rows, summed, columns))
    y = make.matmul(reshape(first, (*lead, m, k)), reshape(second, (*lead, k, n)))
    order = batch + rows + columns
    return permute(reshape(y, [size[c] for c in order]), [order.index(c) for c in right])


def _write_reduce(operator: str) -> Any:
    """The axes are an attribute before opset 18 (13 for sums), an input from then on."""

    def write(w: Any, node: Node, x: str) -> Any:
        rank = len(node.inputs[0].shape)
        axes = node.op.axes
        chosen = list(range(rank)) if axes is None else [a % rank for a in ((axes,) if isinstance(axes, int) else axes)]
        keep = int(getattr(node.op, "keepdims", False))
        if not chosen:
            return w.add("Identity", (x,))
        if w.opset >= (13 if operator == "ReduceSum" else 18):
            y = w.add(operator, (x, w.ints(chosen)), keepdims=keep)
        else:
            y = w.add(operator, (x,), axes=chosen, keepdims=keep)
        if axes is None and node.shape == (1,) and not keep:  # an NDArray's number
            y = w.add("Reshape", (y, w.ints([1])))
        return y

    return write


def _write_var(w: Any, node: Node, x: str) -> Any:
    rank = len(node.inputs[0].shape)
    axes = node.op.axes
    chosen = list(range(rank)) if axes is None else [a % rank for a in ((axes,) if isinstance(axes, int) else axes)]
    n = math.prod(node.inputs[0].shape[a] for a in chosen)
    centred = w.add("Sub", (x, w.mean(x, chosen, 1)))
    y = w.sum(w.add("Mul", (centred, centred)), chosen, int(node.op.keepdims))
    y = w.add("Div", (y, w.number(float(n) - node.op.correction, node.type.dtype)))
    return w.add("Reshape", (y, w.ints([1]))) if axes is None and node.shape == (1,) else y


ROWS: dict[str, Row] = {
    "ReduceSum": Row(_reduce(total), {ops.Summation: _write_reduce("ReduceSum"), ops.Var: _write_var}),
    "ReduceMean": Row(_reduce(_mean), {ops.Mean: _write_reduce("ReduceMean")}),
    "ReduceMax": Row(_reduce(_extremum(True)), {ops.Max: _write_reduce("ReduceMax")}),
    "ReduceMin": Row(_reduce(_extremum(False)), {ops.Min: _write_reduce("ReduceMin")}),
    "ReduceProd": Row(_reduce(_product)),
    "ReduceL1": Row(_reduce(total, lambda x: apply(ops.Abs(), x))),
    "ReduceL2": Row(_reduce(total, _square, lambda y: cast(apply(ops.Sqrt(), _in_floats(y)), y.type.dtype))),
    "ReduceLogSum": Row(_reduce(total, None, lambda y: cast(apply(ops.Log(), _in_floats(y)), y.type.dtype))),
    "ReduceLogSumExp": Row(_reduce(_log_sum_exp), {ops.LogSumExp: _write_reduce("ReduceLogSumExp")}),
    "ReduceSumSquare": Row(_reduce(total, _square)),
    "Softmax": Row(_softmax(ops.Softmax()), {ops.Softmax: written("Softmax", 13, axis=lambda op: -1)}),
    "LogSoftmax": Row(_softmax(ops.LogSoftmax()), {ops.LogSoftmax: written("LogSoftmax", 13, axis=lambda op: -1)}),
    "Hardmax": Row(_hardmax),
    "ArgMax": Row(_arg(ops.ArgMax), {ops.ArgMax: written("ArgMax", 12, axis=lambda op: op.axis, keepdims=lambda op: int(
        op.keepdims), select_last_index=lambda op: int(op.last))}),
    "ArgMin": Row(_arg(ops.ArgMin), {ops.ArgMin: written("ArgMin", 12, axis=lambda op: op.axis, keepdims=lambda op: int(
        op.keepdims), select_last_index=lambda op: int(op.last))}),
    "TopK": Row(_topk, {ops.TopK: lambda w, node, x: w.add(
        "TopK", (x, w.ints([node.op.k])), results=2, axis=node.op.axis, largest=int(node.op.largest))}),
    "Einsum": Row(_einsum, {Einsum: written("Einsum", 12, equation=lambda op: op.equation)}),
    "Det": Row(lambda at, x: apply(Det(), x), {Det: written("Det", 11)}),
}  # fmt: skip
