"""Values without elements are known: programs hold none."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy

from needle import ops
from needle.sizes import Size
from needle.types import Type

from ..dtypes import numpy_dtype
from ..ir import Node, apply, constant


def without_empty(node: Node, uses: Counter[Node]) -> Node | None:
    """a tensor of no elements  =>  a constant; concat(x, an empty one)  =>  concat(x)"""
    if isinstance(node.op, ops.Concat):
        return _shorter(node)
    if _empty(node.type):
        return constant(numpy.zeros(node.shape, numpy_dtype(node.type.dtype)))
    given = [_known(x) for x in node.inputs]
    return None if given == list(node.inputs) else Node(node.op, tuple(given), node.type)


def _shorter(node: Node) -> Node | None:
    (parts,) = node.inputs
    if _empty(node.type):
        return constant(numpy.zeros(node.shape, numpy_dtype(node.type.dtype)))
    if not isinstance(parts.op, ops.MakeTensorTuple) or not any(_empty(x.type) for x in parts.inputs):
        return None
    kept = [x for x in parts.inputs if not _empty(x.type)]
    return kept[0] if len(kept) == 1 else apply(node.op, apply(ops.MakeTensorTuple(), *kept))


def _known(x: Node) -> Node:
    """An input without elements as what it holds."""
    if x.known or not _empty(x.type):
        return x
    return constant(numpy.zeros(x.shape, numpy_dtype(x.type.dtype)))


def _empty(type: Any) -> bool:
    return isinstance(type, Type) and 0 in type.shape and not any(isinstance(n, Size) for n in type.shape)
