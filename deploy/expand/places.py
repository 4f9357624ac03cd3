"""Elements by their place, as choices by number; sums of products that letters name."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy

from needle import ops
from needle.sizes import Size

from ..ir import Node
from ..onnx.make import Unsupported
from ..onnx.ops import Arange, Einsum, GatherND, Modulo, OneHot, ReverseSequence, ScatterElements, Sizes, TensorScatter
from .arithmetic import (
    add,
    apply,
    at,
    broadcast,
    cast,
    const,
    div,
    flat,
    known_sizes,
    less,
    mul,
    permute,
    reshape,
    slices,
    sub,
    total,
    where,
)  # fmt: skip


def _gather(node: Node) -> Node:
    """GatherND: rows of indices as numbers of slices."""
    op, (x, indices) = node.op, node.inputs
    depth = indices.shape[-1]
    size = known_sizes(*x.shape[: op.batch + depth])
    ids = _inside(cast(indices, "int64"), size[op.batch :])
    number = flat(ids, size[op.batch :])
    if op.batch:
        lead = size[: op.batch]
        start = numpy.arange(prod(lead)).reshape(*lead, *(1,) * (len(number.shape) - op.batch)) * prod(size[op.batch :])
        number = add(number, const(start, "int64"))
    return apply(ops.Take(0), reshape(x, (prod(size), *x.shape[op.batch + depth :])), number)


def _inside(indices: Node, size: tuple[int, ...]) -> list[Node]:
    """The columns of indices, those below zero counted from the end."""
    axis = len(indices.shape) - 1
    found = []
    for k, n in enumerate(size):
        place = at(indices, axis, k)
        found.append(where(less(place, 0), add(place, n), place))
    return found


def _one_hot(node: Node) -> Node:
    op, (indices, values) = node.op, node.inputs
    (depth,) = known_sizes(op.depth)
    axis = op.axis % (len(indices.shape) + 1)
    ids = cast(indices, "int64")
    ids = where(less(ids, 0), add(ids, depth), ids)
    ids = reshape(ids, (*indices.shape[:axis], 1, *indices.shape[axis:]))
    places = numpy.arange(depth).reshape((-1,) + (1,) * (len(indices.shape) - axis))
    here = apply(ops.Equal(), ids, const(places, "int64"))
    return where(here, slices(values, 0, 1, 2), slices(values, 0, 0, 1))


def _reversed(node: Node) -> Node:
    """ReverseSequence: the last of a row's steps first, as far as it goes."""
    op, (x, lengths) = node.op, node.inputs
    (steps,) = known_sizes(x.shape[op.time_axis])
    shape = [1] * len(x.shape)
    shape[op.time_axis] = steps
    t = const(numpy.arange(steps).reshape(shape), "int64")
    shape[op.time_axis], shape[op.batch_axis] = 1, x.shape[op.batch_axis]
    n = reshape(cast(lengths, "int64"), shape)
    ids = where(less(t, n), sub(add(n, -1), t), t)
    return apply(ops.Gather(op.time_axis), x, broadcast(ids, x.shape))


def _written(node: Node) -> Node:
    """TensorScatter: new steps from write[b] on."""
    op, (cache, new, *write) = node.op, node.inputs
    axis = op.axis % len(cache.shape)
    steps, room = known_sizes(new.shape[axis], cache.shape[axis])
    shape = [1] * len(cache.shape)
    shape[axis] = steps
    ids = const(numpy.arange(steps).reshape(shape), "int64")
    if write:
        ids = add(ids, reshape(cast(write[0], "int64"), (cache.shape[0], *(1,) * (len(cache.shape) - 1))))
    ids = apply(Modulo(), ids, const(room, "int64")) if op.circular else ids
    return apply(ScatterElements(axis), cache, broadcast(ids, new.shape), new)


def _numbers(node: Node) -> Node:
    """Arange and Sizes: constants of sizes that are known; of an open count the places along it."""
    op, dtype = node.op, node.type.dtype
    if isinstance(op, Arange) and isinstance(op.count, Size):
        start, step = known_sizes(op.start, op.step)
        places = apply(ops.Iota(0), broadcast(const(numpy.zeros(1), dtype), (op.count,)))
        return add(mul(places, const(step, dtype)), const(start, dtype))
    known_sizes(*(op.values if isinstance(op, Sizes) else (op.start, op.step, op.count)))
    return const(op.value(), dtype)


def _sum_of_products(node: Node) -> Node:
    """Einsum: operands with an axis for each letter, multiplied; sums over letters that the result lacks."""
    op, given = node.op, node.inputs
    left, _, right = op.equation.replace(" ", "").partition("->")
    terms = [op._named(term, x.shape)[0] for term, x in zip(left.split(","), given, strict=True)]
    hidden = max(sum(name.startswith(".") for name in names) for names in terms)
    if "->" not in op.equation:
        once = sorted(c for c in set(left) if c.isalpha() and left.count(c) == 1)
        right = ("..." if "..." in left else "") + "".join(once)
    kept = op._split(right, hidden)
    letters = [*kept, *sorted({c for names in terms for c in names} - set(kept))]
    product = None
    for names, x in zip(terms, given, strict=True):
        names, x = _diagonal(names, x)
        x = permute(x, [names.index(c) for c in letters if c in names])
        sizes = iter(x.shape)
        x = reshape(x, [next(sizes) if c in names else 1 for c in letters])
        product = x if product is None else mul(product, x)
    assert product is not None
    shape = [1] * len(letters)
    for names, x in zip(terms, given, strict=True):
        for c, n in zip(names, x.shape, strict=True):
            shape[letters.index(c)] = n if shape[letters.index(c)] == 1 else shape[letters.index(c)]
    product = broadcast(product, shape)
    summed = range(len(kept), len(letters))
    return total(product, *summed) if summed else product


def _diagonal(names: list[str], x: Node) -> tuple[list[str], Node]:
    """Of a letter that stands twice the elements with equal places."""
    for c in dict.fromkeys(names):
        while names.count(c) > 1:
            i, j = [k for k, name in enumerate(names) if name == c][:2]
            (n,) = known_sizes(x.shape[i])
            order = [k for k in range(len(names)) if k not in (i, j)]
            x = permute(x, (*order, i, j))
            lead = x.shape[:-2]
            x = reshape(x, (*lead, n * n))
            x = apply(ops.GetItem((*[(None, None, 1)] * len(lead), (0, n * n, n + 1))), x)
            names = [*(names[k] for k in order), c]
    return names, x


def _log_sum_exp(node: Node) -> Node:
    """Of doubles, which have no kernel for it."""
    op, (x,) = node.op, node.inputs
    if x.type.dtype != "float64":
        raise Unsupported("it has a kernel")
    rank = len(x.shape)
    axes = tuple(range(rank)) if op.axes is None else (op.axes,) if isinstance(op.axes, int) else tuple(op.axes)
    axes = tuple(a % rank for a in axes)
    most = apply(ops.Max(axes, True), x)
    sums = apply(ops.Log(), total(apply(ops.Exp(), sub(x, most)), *axes))
    return reshape(add(sums, reshape(most, sums.shape)), node.shape)


def _softmax(node: Node) -> Node:
    """Of doubles, which have no kernel for it."""
    (x,) = node.inputs
    if x.type.dtype != "float64":
        raise Unsupported("it has a kernel")
    last = len(x.shape) - 1
    below = sub(x, apply(ops.Max((last,), True), x))
    sums = reshape(total(apply(ops.Exp(), below), last), (*x.shape[:-1], 1))
    if isinstance(node.op, ops.LogSoftmax):
        return sub(below, apply(ops.Log(), sums))
    return div(apply(ops.Exp(), below), sums)


TABLE: dict[type, Any] = {
    GatherND: _gather, OneHot: _one_hot, ReverseSequence: _reversed, TensorScatter: _written, Arange: _numbers,
    Sizes: _numbers, Einsum: _sum_of_products, ops.LogSumExp: _log_sum_exp,
    ops.Softmax: _softmax, ops.LogSoftmax: _softmax,
}  # fmt: skip
