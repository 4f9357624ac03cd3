"""Compute now what depends on nothing."""

from __future__ import annotations

import math
from collections import Counter

from needle.types import Dim, Type

from ..ir import Node, array_of, constant

MAX_GROWTH = 4096  # elements that folding may add: a broadcast constant is cheaper read with stride 0


def fold_constants(node: Node, uses: Counter[Node]) -> Node | None:
    """f(c1, c2, ...)  =>  the constant it is, unless that is much larger than its inputs"""
    arrays = [array_of(x) for x in node.inputs]
    if not arrays or any(x is None for x in arrays) or not isinstance(node.type, Type):
        return None
    if any(isinstance(size, Dim) for size in node.shape):
        return None
    if math.prod(node.shape) > MAX_GROWTH + sum(x.size for x in arrays if x is not None):
        return None
    name = next((x.op.name for x in node.inputs if x.op.name), "")
    return constant(node.op.compute(*[x.copy() for x in arrays if x is not None]).astype("float32"), name)
