"""Tuples are for Python; a program reads their parts."""

from __future__ import annotations

from collections import Counter

from needle import ops

from ..ir import Node


def cancel_tuples(node: Node, uses: Counter[Node]) -> Node | None:
    """(x0, x1, ...)[i]  =>  xi"""
    match node:
        case Node(ops.TupleGetItem(index), (Node(ops.MakeTensorTuple(), parts),)):
            return parts[index]
    return None
