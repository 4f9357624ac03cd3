"""Operators that find, gather, scatter and mark elements by their place."""

from __future__ import annotations

import math
from typing import Any

import numpy

from needle import ops
from needle.sizes import Size

from ...ir import Node
from .. import make
from ..at import At
from ..make import apply, axis_of, cast, const, reshape
from ..ops import (
    Compress,
    CumProd,
    GatherND,
    NonZero,
    OneHot,
    ReverseSequence,
    ScatterElements,
    ScatterND,
    TensorScatter,
    Trilu,
    Unique,
)  # fmt: skip
from ..row import Row, written
from .shape import cut, same


def _gather(at: At, x: Node, ids: Node) -> Node:
    axis = axis_of(at.get("axis", 0), len(x.shape))
    if make.known(ids) and ids.op.array.ndim == 0:
        n, i = x.shape[axis], int(ids.op.array)
        if not isinstance(n, Size) or i >= 0:
            return make.index(x, axis, i)
    return apply(ops.Take(axis), x, ids)


def _gather_elements(at: At, x: Node, ids: Node) -> Node:
    axis = axis_of(at.get("axis", 0), len(x.shape))
    for i, (n, m) in enumerate(zip(x.shape, ids.shape, strict=True)):
        if i != axis and not same(n, m):
            x = cut(x, i, 0, m)
    return apply(ops.Gather(axis), x, ids)


def _trilu(at: At, x: Node, k: Node | None = None) -> Node:
    return apply(Trilu(int(at.number(k, "k", 0)), bool(at.get("upper", 1))), x)


def _running_sum(at: At, x: Node, axis: Node) -> Node:
    op = ops.CumSum(int(at.number(axis, "axis")), bool(at.get("exclusive", 0)), bool(at.get("reverse", 0)))
    return cast(apply(op, x), x.type.dtype)  # which ONNX keeps


def _write_running_sum(w: Any, node: Node, x: str) -> Any:
    exclusive, reverse = int(node.op.exclusive), int(node.op.reverse)
    return w.add("CumSum", (x, w.ints(node.op.axis, ())), exclusive=exclusive, reverse=reverse)


def _one_hot(at: At, ids: Node, depth: Node, values: Node) -> Node:
    return apply(OneHot(int(at.number(depth, "depth")), at.get("axis", -1)), ids, values)


def _scatter(at: At, x: Node, ids: Node, updates: Node) -> Node:
    return apply(ScatterElements(at.get("axis", 0), at.get("reduction", "none")), x, ids, updates)


def _compress(at: At, x: Node, condition: Node) -> Node:
    axis = at.get("axis")
    if make.known(condition):
        places = numpy.flatnonzero(condition.op.array)
        flat = reshape(x, (math.prod(x.shape),)) if axis is None else x
        return apply(ops.Take(0 if axis is None else axis_of(axis, len(x.shape))), flat, const(places))
    return apply(Compress(axis, at.fresh("kept")), x, condition)


def _unique(at: At, x: Node) -> tuple[Node, ...]:
    return make.items(Unique(at.get("axis"), bool(at.get("sorted", 1)), at.fresh("unique")), x)


def _reverse(at: At, x: Node, lengths: Node) -> Node:
    return apply(ReverseSequence(at.get("batch_axis", 1), at.get("time_axis", 0)), x, lengths)


ROWS: dict[str, Row] = {
    "Gather": Row(_gather, {ops.Take: lambda w, node, x, i: w.add("Gather", (x, w.places(node.inputs[1], i)),
                                                                  axis=node.op.axis),
                            ops.Embed: lambda w, node, i, x: w.add("Gather", (x, w.places(node.inputs[0], i)), axis=0)},
                  in_float32=False),
    "GatherElements": Row(_gather_elements, {ops.Gather: lambda w, node, x, i: w.add(
        "GatherElements", (x, w.places(node.inputs[1], i)), axis=node.op.axis)}, in_float32=False),
    "GatherND": Row(lambda at, x, i: apply(GatherND(at.get("batch_dims", 0)), x, i),
                    {GatherND: written("GatherND", 12, batch_dims=lambda op: op.batch)}, in_float32=False),
    "ScatterND": Row(lambda at, x, i, u: apply(ScatterND(at.get("reduction", "none")), x, i, u),
                     {ScatterND: written("ScatterND", 16, reduction=lambda op: op.reduction)}, in_float32=False),
    "ScatterElements": Row(_scatter, {ScatterElements: written("ScatterElements", 16, axis=lambda op: op.axis,
                                                               reduction=lambda op: op.reduction)}, in_float32=False),
    "Scatter": Row(_scatter, in_float32=False),
    "TensorScatter": Row(lambda at, c, u, *i: apply(TensorScatter(at.get("axis", -2), at.get("mode") == "circular"),
                                                    c, u, *[v for v in i if v is not None]), in_float32=False),
    "Trilu": Row(_trilu, {Trilu: lambda w, node, x: w.add("Trilu", (x, w.ints(node.op.k, ())),
                                                         upper=int(node.op.upper))}, in_float32=False),
    "OneHot": Row(_one_hot, {OneHot: lambda w, node, i, v: w.add("OneHot", (i, w.ints(node.op.depth, ()), v),
                                                                 axis=node.op.axis)}, in_float32=False),
    "NonZero": Row(lambda at, x: apply(NonZero(at.fresh("nonzero")), x), in_float32=False),
    "Compress": Row(_compress, in_float32=False),
    "Unique": Row(_unique, in_float32=False),
    "ReverseSequence": Row(_reverse, in_float32=False),
    "CumSum": Row(_running_sum, {ops.CumSum: _write_running_sum}),
    "CumProd": Row(lambda at, x, axis: apply(CumProd(int(at.number(axis, "axis")), bool(at.get("exclusive", 0)),
                                                     bool(at.get("reverse", 0))), x)),
}  # fmt: skip
