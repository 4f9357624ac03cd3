"""Where axes are exchanged: permutes are composed, cancelled and moved behind pointwise ops, until they meet or vanish.

Convolutions compute in NHWC and layers speak NCHW, so after these rules the body of a network runs NHWC without copies.
"""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import Any

from needle import ops
from needle.ops.pointwise import Pointwise, PointwiseGradient
from needle.sizes import Size

from ..ir import Node, apply, dim_key, same_type
from ..regroup import common_factors
from .rewrite import Kept

POINTWISE = (Pointwise, PointwiseGradient)


def transpose_as_permute(node: Node, uses: Counter[Node]) -> Node | None:
    """transpose(x, (a, b))  =>  permute(x, the identity with a and b exchanged);  axis -k  =>  axis n - k"""
    match node:
        case Node(ops.Permute(axes), (x,)) if any(axis < 0 for axis in axes):
            return apply(ops.Permute(tuple(axis % len(axes) for axis in axes)), x)
        case Node(ops.Transpose(axes), (x,)):
            order = list(range(len(x.shape)))
            a, b = axes if axes is not None else (-2, -1)
            order[a], order[b] = order[b], order[a]
            return permuted(x, tuple(order))
    return None


def compose_permutes(node: Node, uses: Counter[Node]) -> Node | None:
    """permute(permute(x, p), q)  =>  permute(x, p[q]);  permute(x, identity)  =>  x"""
    match node:
        case Node(ops.Permute(outer), (Node(ops.Permute(inner), (x,)),)):
            return permuted(x, tuple(inner[axis] for axis in outer))
        case Node(ops.Permute(axes), (x,)) if tuple(axes) == tuple(range(len(x.shape))):
            return x
    return None


def sink_permutes(node: Node, uses: Counter[Node]) -> Node | Kept | None:
    """f(permute(x, p))  =>  permute(f(x), p)  for pointwise f; for two operands p is undone on the other one"""
    match node:
        case Node(op, (Node(ops.Permute(axes), (x,)),)) if isinstance(op, POINTWISE):
            return permuted(apply(op, x), axes)
        case Node(op, (Node(ops.Permute(axes), (x,)), y)) if isinstance(op, POINTWISE) and same_shape(node, y):
            if _undo_is_free(y, axes) and not _moves_freely(x):
                return permuted(apply(op, x, undone(y, axes)), axes)
        case Node(op, (y, Node(ops.Permute(axes), (x,)))) if isinstance(op, POINTWISE) and same_shape(node, y):
            if _undo_is_free(y, axes) and not _moves_freely(x):
                return permuted(apply(op, undone(y, axes), x), axes)
    match node:
        case Node(op, (Node(ops.Permute(axes), (x,)), y)) | Node(op, (y, Node(ops.Permute(axes), (x,)))) if isinstance(
            op, POINTWISE
        ) and same_shape(node, y):
            return Kept("its operand is read in any order" if _moves_freely(x) else "its other operand would be copied")
    return None


def sink_equal_permutes(node: Node, uses: Counter[Node]) -> Node | None:
    """f(permute(x, p), permute(y, p))  =>  permute(f(x, y), p)  for pointwise f, broadcast too, and concatenation"""
    match node:
        case Node(op, (Node(ops.Permute(axes), (x,)), Node(ops.Permute(other), (y,)))) if isinstance(op, POINTWISE):
            return permuted(apply(op, x, y), axes) if tuple(axes) == tuple(other) else None
        case Node(ops.Concat(axis), (Node(ops.MakeTensorTuple(), parts),)):
            orders = {tuple(x.op.axes) if isinstance(x.op, ops.Permute) else () for x in parts}
            order = orders.pop()
            if orders or not order:
                return None
            inner = apply(ops.MakeTensorTuple(), *(x.inputs[0] for x in parts))
            return permuted(apply(ops.Concat(order[axis % len(order)]), inner), order)
    return None


def permute_as_reshape(node: Node, uses: Counter[Node]) -> Node | None:
    """permute(x, p)  =>  reshape(x)  where p moves only axes of size 1;  reshape(reshape(x))  =>  reshape(x)"""
    match node:
        case Node(ops.Permute(axes), (x,)) if _keeps_order(x.shape, axes):
            return apply(ops.Reshape(node.shape), x)
        case Node(ops.Reshape(), (Node(ops.Reshape(), (x,)),)):
            return apply(ops.Reshape(node.shape), x)
        case Node(ops.Reshape(), (x,)) if same_type(x.type, node.type):
            return x
    return None


def split_before_permute(node: Node, uses: Counter[Node]) -> Node | None:
    """reshape(permute(reshape(x), p))  =>  permute(reshape(x), q)  where the last splits what the first has joined"""
    match node:
        case Node(ops.Reshape(), (Node(ops.Permute(axes), (Node(ops.Reshape(), (x,)) as joined,)),)):
            found = common_factors(x.shape, joined.shape)
            if found is None:
                return None
            factors, _, places = found
            order = [k for axis in axes for k in places[axis]]
            if [dim_key(factors[k]) for k in order] == [dim_key(size) for size in node.shape]:
                return permuted(apply(ops.Reshape(tuple(factors)), x), tuple(order))
    return None


def permute_rows(node: Node, uses: Counter[Node]) -> Node | Kept | None:
    """reshape(permute(x, p), (N, K)) @ w  =>  reshape(x, (N, K)) @ (the rows of w in the order of x)"""
    match node:
        case Node(ops.MatMul(), (Node(ops.Reshape(), (Node(ops.Permute(axes), (x,)) as moved,)) as flat, w)):
            if uses[moved] > 1:
                return Kept(f"the permuted value is read {uses[moved]} times")
            if not w.known or len(w.shape) != 2:
                return Kept("its right operand is no matrix of weights")
            if axes[0] != 0 or len(flat.shape) != 2 or any(isinstance(size, Size) for size in x.shape[1:]):
                return Kept("the permutation moves the rows, or the size of one is open")
            if prod(x.shape[1:]) != flat.shape[1] or flat.shape[1] != w.shape[0]:
                return None  # of a row more than one is made
            rows = apply(ops.Reshape((*moved.shape[1:], w.shape[1])), w)
            back = [axes.index(axis) - 1 for axis in range(1, len(axes))]
            ordered = apply(ops.Reshape(w.shape), apply(ops.Permute((*back, len(axes) - 1)), rows))
            return apply(ops.MatMul(), apply(ops.Reshape(flat.shape), x), ordered)
    return None


def permuted(x: Node, axes: tuple[int, ...]) -> Node:
    """permute(x, axes), or x itself for the identity."""
    return x if tuple(axes) == tuple(range(len(axes))) else apply(ops.Permute(tuple(axes)), x)


def undone(y: Node, axes: tuple[int, ...]) -> Node:
    """y with the permutation `axes` undone."""
    inverse = tuple(axes.index(axis) for axis in range(len(axes)))
    match y:
        case Node(ops.Permute(inner), (x,)):
            return permuted(x, tuple(inner[axis] for axis in inverse))
    return permuted(y, inverse)


def same_shape(a: Node, b: Node) -> bool:
    """Whether two nodes have one shape, so that no broadcasting happens."""
    return same_type(a.type, b.type)


def _undo_is_free(y: Node, axes: tuple[int, ...]) -> bool:
    """Undoing costs nothing where y is permuted itself, or moves freely."""
    match y:
        case Node(ops.Permute(inner), _):
            return tuple(inner) == tuple(axes)
    return _moves_freely(y)


def _moves_freely(x: Node) -> bool:
    """Whether it is read with strides anyhow, or permuted when it is loaded; two such would never come to rest."""
    return x.known or isinstance(x.op, ops.BroadcastTo)


def _keeps_order(shape: tuple[Any, ...], axes: tuple[int, ...]) -> bool:
    """Whether the axes longer than 1 stay in their order, so that memory does not change."""
    moved = [axis for axis in axes if isinstance(shape[axis], Size) or shape[axis] != 1]
    return moved == sorted(moved)
