"""Short names for the ops that expansions are made of, on nodes; constants are computed at once."""

from __future__ import annotations

from typing import Any

import numpy

from needle import ops
from needle.sizes import Size

from ..ir import Node
from ..onnx.make import Unsupported, apply, broadcast, cast, concat, const, like, permute, reshape, where

__all__ = [
    "add", "apply", "at", "broadcast", "cast", "clip", "concat", "const", "count", "div", "flat", "floor",
    "known_sizes", "less", "like", "mul", "permute", "reshape", "rounded", "slices", "stack", "sub", "total", "where",
]  # fmt: skip


def known_sizes(*sizes: int) -> tuple[int, ...]:
    """The sizes. Raises Unsupported if one of them is open."""
    if any(isinstance(n, Size) for n in sizes):
        raise Unsupported("needs sizes that are known")
    return sizes


def add(a: Node, b: Any) -> Node:
    """a + b, b a node or a number."""
    return apply(ops.EWiseAdd(), a, _operand(a, b))


def sub(a: Node, b: Any) -> Node:
    """a - b"""
    from ..onnx.ops import Subtract

    return apply(Subtract(), a, _operand(a, b))


def mul(a: Node, b: Any) -> Node:
    """a b"""
    return apply(ops.EWiseMul(), a, _operand(a, b))


def div(a: Node, b: Any) -> Node:
    """a / b of floats."""
    return apply(ops.EWiseDiv(), a, _operand(a, b))


def less(a: Node, b: Any) -> Node:
    """a < b"""
    return apply(ops.Less(), a, _operand(a, b))


def clip(a: Node, low: Any, high: Any) -> Node:
    """a within bounds; None is no bound."""
    a = a if low is None else apply(ops.Maximum(), a, _operand(a, low))
    return a if high is None else apply(ops.Minimum(), a, _operand(a, high))


def floor(a: Node) -> Node:
    """The largest whole number that is not above a."""
    return apply(ops.Floor(), a)


def rounded(a: Node) -> Node:
    """The nearest whole number, of two the even one."""
    return apply(ops.Round(), a)


def total(a: Node, *axes: int) -> Node:
    """The sum over axes, which go away, in the dtype of a."""
    return cast(apply(ops.Summation(tuple(x % len(a.shape) for x in axes)), a), a.type.dtype)


def at(a: Node, axis: int, i: int) -> Node:
    """a[.., i, ..], the axis gone."""
    return apply(ops.GetItem((*[(None, None, 1)] * axis, i)), a)


def slices(a: Node, axis: int, start: int, stop: int) -> Node:
    """a[.., start:stop, ..]"""
    return apply(ops.GetItem((*[(None, None, 1)] * axis, (start, stop, 1))), a)


def stack(parts: list[Node], axis: int) -> Node:
    """The parts along a new axis."""
    shape = parts[0].shape
    return concat([reshape(x, (*shape[:axis], 1, *shape[axis:])) for x in parts], axis)


def count(x: Node, axis: int, rank: int) -> Node:
    """0, 1, ... along an axis of x, an open one too, as the first of `rank` axes."""
    n, zero = x.shape[axis], const(numpy.zeros(1), "int64")
    numbers = apply(ops.Iota(0), broadcast(zero, (n,))) if isinstance(n, Size) else const(numpy.arange(n), "int64")
    return reshape(numbers, (n, *(1,) * (rank - 1)))


def flat(places: list[Node], size: tuple[int, ...]) -> Node:
    """The numbers of elements, counted in order, at places of each axis."""
    found, step = None, 1
    for place, n in zip(reversed(places), reversed(size), strict=True):
        part = mul(place, step) if step != 1 else place
        found, step = part if found is None else add(found, part), step * n
    if found is None:
        raise Unsupported("no axis is named")
    return found


def _operand(a: Node, b: Any) -> Node:
    return b if isinstance(b, Node) else const(numpy.asarray(b), a.type.dtype)
