"""Sums and maxima over an axis, and the picking of elements along one."""

from __future__ import annotations

from bench.case import Run, Sides
from bench.cases.data import full, k, normal, pytorch, whole


def reduction(name: str, axis: int, *shape: int) -> Sides:
    """One reduction over an axis, without its gradient."""
    x, function = normal(*shape), getattr(k, name)

    def peer() -> Run:
        t = pytorch()
        tx, theirs = t.tensor(x), getattr(t.torch, {"max": "amax"}.get(name, name))
        return lambda: theirs(tx, axis)

    return Sides(lambda: function(x, (axis,), False), {"PyTorch": peer})


def maximum_gradient(axis: int, *shape: int) -> Sides:
    x = normal(*shape)
    y = k.max(x, (axis,), True)
    g = full(1.0, *y.shape)

    def ours() -> None:
        k.max(x, (axis,), True)
        k.extremum_gradient(g, x, y, (axis,))

    def peer() -> Run:
        t = pytorch()
        (tx,), tg = t.leaves(x), t.tensor(g)
        return lambda: t.grad(t.torch.amax(tx, axis, True), tx, tg)

    return Sides(ours, {"PyTorch": peer})


def gather(rows: int, cols: int) -> Sides:
    """One element of each row, and the gradient."""
    x, ids, g = normal(rows, cols), whole(cols, rows, 1), normal(rows, 1)

    def ours() -> None:
        k.gather(x, ids, 1)
        k.gather_gradient(g, ids, 1, cols)

    def peer() -> Run:
        t = pytorch()
        (tx,), tids, tg = t.leaves(x), t.tensor(ids).long(), t.tensor(g)
        return lambda: t.grad(t.torch.gather(tx, 1, tids), tx, tg)

    return Sides(ours, {"PyTorch": peer})
