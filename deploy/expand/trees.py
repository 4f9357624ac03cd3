"""Ensembles of trees: every row walks down all trees at once, a level with each step, by tables of their nodes."""

from __future__ import annotations

from typing import Any

import numpy

from needle import ops

from ..ir import Constant, Node
from ..onnx.make import Unsupported
from ..onnx.ops import Trees
from .arithmetic import apply, broadcast, cast, const, reshape, where

TESTS = (ops.LessEqual, ops.Less, ops.GreaterEqual, ops.Greater, ops.Equal, ops.NotEqual)  # by mode
LEVELS = 64  # of a tree, at most


def _walked(node: Node) -> Node:
    op, (x, *given) = node.op, node.inputs
    if not all(isinstance(n.op, Constant) for n in given) or "float" not in x.type.dtype:
        raise Unsupported("trees that are computed, or features that are no floats")
    feature, mode, threshold, yes, no, missing, roots, start, stop, target, weight = (n.op.array for n in given)
    if op.members or (mode >= len(TESTS)).any():
        raise Unsupported("tests of membership")
    x = reshape(x, (1, *x.shape)) if len(x.shape) == 1 else x
    leaf, own = mode < 0, numpy.arange(len(mode))
    yes, no = numpy.where(leaf, own, yes), numpy.where(leaf, own, no)  # who has arrived stays
    at = broadcast(const(roots[None], "int64"), (x.shape[0], len(roots)))
    used = [m for m in range(len(TESTS)) if (mode == m).any()]
    for _ in range(_depth(roots, yes, no, leaf)):
        v = apply(ops.Gather(1), x, _of(at, numpy.where(leaf, 0, feature), "int64"))
        limit, goes = _of(at, threshold, str(threshold.dtype)), None
        for m in used:
            passed = apply(TESTS[m](), v, limit)
            goes = passed if goes is None else where(_of(at, mode == m, "bool"), passed, goes)
        assert goes is not None
        if missing.any() or 5 in used:
            goes = where(apply(ops.IsNaN(), v), _of(at, missing.astype(bool), "bool"), goes)
        at = where(goes, _of(at, yes, "int64"), _of(at, no, "int64"))
    return cast(_together(op, _said(op, len(mode), start, stop, target, weight), at), op.dtype)


def _of(at: Node, table: Any, dtype: str) -> Node:
    """What a table says of each node."""
    return apply(ops.Take(0), const(table, dtype), at)


def _depth(roots: Any, yes: Any, no: Any, leaf: Any) -> int:
    """The levels below the roots."""
    here = numpy.unique(roots)
    for depth in range(LEVELS):
        here = here[~leaf[here]]
        if not here.size:
            return depth
        here = numpy.unique(numpy.concatenate([yes[here], no[here]]))
    raise Unsupported("trees that are deep")


def _said(op: Trees, nodes: int, start: Any, stop: Any, target: Any, weight: Any) -> Any:
    """(nodes, targets): what a leaf says of each, or what does not count where it says nothing."""
    said, seen = numpy.zeros((nodes, op.targets)), numpy.zeros((nodes, op.targets), dtype=bool)
    for n in range(nodes):
        for i in range(start[n], stop[n]):
            said[n, target[i]] += weight[i]
            seen[n, target[i]] = True
    nothing = {"MIN": numpy.inf, "MAX": -numpy.inf}.get(op.aggregate, 0.0)
    return numpy.where(seen, said, nothing)


def _together(op: Trees, said: Any, at: Node) -> Node:
    """Over the trees, in float64."""
    found = apply(ops.Take(0), const(said, "float64"), at)
    match op.aggregate:
        case "MIN":
            return apply(ops.Min((1,)), found)
        case "MAX":
            return apply(ops.Max((1,)), found)
        case "AVERAGE":
            return apply(ops.Mean((1,)), found)
    return apply(ops.Summation((1,)), found)


TABLE: dict[type, Any] = {Trees: _walked}
