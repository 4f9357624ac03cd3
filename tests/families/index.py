"""Samples, meaning, PyTorch counterpart and refusals of concatenation, slices, rows and elements by number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from needle import ops
from tests.case import Array, Case, Refusal, gathered, ids, normal, torch

WHOLE = (None, None, 1)
INDICES: list[tuple[Any, ...]] = [
    (), (0,), (-1,), (WHOLE, 2), (1, WHOLE, -2), ((0, 2, 1),), ((None, None, 2), WHOLE, (None, None, -1)),
    ((5, 0, -2), (1, None, 1), (-3, -1, 1)), (None, 1), (WHOLE, None, 0, None, WHOLE), ((2, 1, 1),), ((9, None, -3), 0),
    (WHOLE, WHOLE, WHOLE, None),
]  # fmt: skip


def axes_by_hand(index: tuple[Any, ...], shape: tuple[int, ...]) -> tuple[list[int], list[list[int]], list[bool]]:
    """The shape of x[index]; for each axis of x the places it takes, and whether the axis stays."""
    parts = list(index) + [WHOLE] * (len(shape) - sum(part is not None for part in index))
    sizes, places, stays = [], [], []
    for part in parts:
        if part is None:
            sizes.append(1)
            continue
        n = shape[len(places)]
        found = [part % n] if isinstance(part, int) else list(range(n))[slice(*part)]
        places.append(found)
        stays.append(not isinstance(part, int))
        if stays[-1]:
            sizes.append(len(found))
    return sizes, places, stays


def getitem(op: Any, x: Array) -> Array:
    sizes, places, _ = axes_by_hand(op.index, x.shape)
    chosen = gathered(tuple(map(len, places)), lambda i: x[tuple(p[k] for p, k in zip(places, i, strict=True))])
    return chosen.reshape(sizes)


def getitem_gradient(op: Any, g: Array) -> Array:
    _, places, _ = axes_by_hand(op.index, op.shape)
    out, flat = np.zeros(op.shape), iter(g.reshape(-1))
    for i in np.ndindex(*map(len, places)):
        out[tuple(p[k] for p, k in zip(places, i, strict=True))] += next(flat)
    return out


def concat(op: Any, parts: tuple[Array, ...]) -> Array:
    axis = op.axis % parts[0].ndim
    rows = [row for part in parts for row in np.moveaxis(part, axis, 0)]
    shape = parts[0].shape[:axis] + parts[0].shape[axis + 1 :]
    return np.moveaxis(np.stack(rows) if rows else np.zeros((0, *shape)), 0, axis)


def take(op: Any, x: Array, chosen: Array) -> Array:
    axis = op.axis % x.ndim
    shape = (*x.shape[:axis], *chosen.shape, *x.shape[axis + 1 :])
    end = axis + chosen.ndim
    return gathered(shape, lambda i: x[(*i[:axis], int(chosen[i[axis:end]]), *i[end:])])


def take_gradient(op: Any, g: Array, chosen: Array) -> Array:
    end = op.axis + chosen.ndim
    out = np.zeros((*g.shape[: op.axis], op.size, *g.shape[end:]))
    for i in np.ndindex(*g.shape):
        out[(*i[: op.axis], int(chosen[i[op.axis : end]]), *i[end:])] += g[i]
    return out


def gather(op: Any, x: Array, index: Array) -> Array:
    axis = op.axis % x.ndim
    return gathered(index.shape, lambda i: x[(*i[:axis], int(index[i]), *i[axis + 1 :])])


def gather_gradient(op: Any, g: Array, index: Array) -> Array:
    out = np.zeros((*g.shape[: op.axis], op.size, *g.shape[op.axis + 1 :]))
    for i in np.ndindex(*g.shape):
        out[(*i[: op.axis], int(index[i]), *i[op.axis + 1 :])] += g[i]
    return out


def signed(n: int, *shape: int) -> Array:
    """Whole numbers in -n..n-1."""
    return ids(2 * n, *shape) - n


CASES: list[Case] = [
    *(Case(ops.GetItem(index), (normal(4, 3, 4),)) for index in INDICES),
    Case(ops.GetItem((None,)), (normal(),)),
    Case(ops.GetItem(((None, None, -1), 1)), (normal(0, 3),)),
    *(
        Case(ops.GetItemGradient(op.index, (4, 3, 4)), (getitem(op, normal(4, 3, 4)),))
        for op in map(ops.GetItem, INDICES)
    ),
    *(Case(ops.Concat(axis), ((normal(2, 3), normal(2, 3), normal(2, 3)),)) for axis in (0, 1, -1)),
    Case(ops.Concat(1), ((normal(2, 1, 3), normal(2, 4, 3), normal(2, 0, 3)),)),
    *(Case(ops.Concat(0), (parts,)) for parts in ((normal(3),), (normal(0, 2), normal(0, 2)))),
    *(
        Case(ops.Take(axis), (normal(4, 3, 5), signed([4, 3, 5][axis], *shape)), fixed=(1,))
        for axis in (0, 1, 2, -1)
        for shape in ((3,), (2, 4), (), (0,))
    ),
    Case(ops.Take(0), (normal(6), ids(6, 9)), fixed=(1,)),
    Case(ops.Take(1), (normal(0, 3), ids(3, 2)), fixed=(1,)),
    *(Case(ops.TakeGradient(1, 5), (normal(2, *s, 3), ids(5, *s)), fixed=(1,)) for s in ((4,), (2, 3), (0,))),
    Case(ops.TakeGradient(0, 4), (normal(7), ids(4, 7)), fixed=(1,)),
    *(
        Case(ops.Gather(axis), (normal(4, 3, 5), signed([4, 3, 5][axis], *shape)), fixed=(1,))
        for axis, shape in ((0, (6, 3, 5)), (1, (4, 2, 5)), (2, (4, 3, 1)), (-1, (4, 3, 7)), (1, (4, 0, 5)))
    ),
    Case(ops.Gather(0), (normal(5), ids(5, 3)), fixed=(1,)),
    *(Case(ops.GatherGradient(1, 4), (normal(2, n, 3), ids(4, 2, n, 3)), fixed=(1,)) for n in (1, 5, 0)),
]

MEANING: dict[type, Callable[..., Any]] = {
    ops.GetItem: getitem,
    ops.GetItemGradient: getitem_gradient,
    ops.Concat: concat,
    ops.Take: take,
    ops.TakeGradient: take_gradient,
    ops.Gather: gather,
    ops.GatherGradient: gather_gradient,
}


def torch_take(op: Any, x: Any, chosen: Any) -> Any:
    axis = op.axis % x.ndim
    return x[(*[slice(None)] * axis, chosen.long())]


def torch_gather(op: Any, x: Any, index: Any) -> Any:
    return torch.gather(x, op.axis, index.long() % x.shape[op.axis])


TORCH: dict[type, Callable[..., Any]] = {
    ops.Concat: lambda op, parts: torch.cat(parts, op.axis),
    ops.Take: torch_take,
    ops.Gather: torch_gather,
}

REFUSALS: list[Refusal] = [
    (ops.GetItem((4,)), ((4, 3),), r"\[getitem\] index 4 is outside axis 0 of \(4, 3\)"),
    (ops.GetItem((0, 0, 0)), ((4, 3),), r"\[getitem\] at most one index for each axis, got 3 for shape \(4, 3\)"),
    (ops.Concat(0), (((2, 3), (2, 4)),), r"\[concat\] shapes must agree but along axis 0, got \(2, 3\) and \(2, 4\)"),
    (ops.Concat(0), (((), ()),), r"\[concat\] axis must be in"),
    (ops.Take(2), ((2, 3), (4,)), r"\[take\] axis must be in -2\.\.1 for 2 axes, got 2"),
    (ops.Gather(1), ((2, 3), (3, 1)), r"\[gather\] shapes must agree but along axis 1, got \(2, 3\) and \(3, 1\)"),
    (ops.TakeGradient(0, 4), ((3, 2), (4,)), r"\[take_gradient\] needs the shape of ids \(4,\) at axis 0, got"),
    (ops.GetItemGradient((0,), (4, 3)), ((4,),), r"\[getitem_gradient\] needs g \(3,\), got \(4,\)"),
    (ops.GatherGradient(0, 4), ((3, 2), (3,)), r"\[gather_gradient\] g and index must have one shape"),
]
