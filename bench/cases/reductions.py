"""Sums and maxima over an axis, the picking of elements along one, and losses with their gradients."""

from __future__ import annotations

from bench.case import Run, Sides
from bench.cases.data import full, k, normal, pytorch, whole
from needle.backend_ndarray import NDArray, cpu

IGNORED = -100  # the label of a row that does not count, in both libraries


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


def cross_entropy(rows: int, classes: int) -> Sides:
    x, labels, one = normal(rows, classes), whole(classes, rows), full(1.0, 1)

    def ours() -> None:
        k.cross_entropy(x, labels, 0.0)
        k.cross_entropy_gradient(one, x, labels, 0.0)

    return Sides(ours, {"PyTorch": lambda: torch_cross_entropy(x, labels)})


def ignoring_cross_entropy(rows: int, classes: int) -> Sides:
    """A third of the rows is ignored."""
    x, one, drawn = normal(rows, classes), full(1.0, 1), whole(classes, rows).numpy()
    drawn[::3] = IGNORED
    labels = NDArray(drawn, device=cpu())

    def ours() -> None:
        k.cross_entropy(x, labels, 0.0, IGNORED)
        k.cross_entropy_gradient(one, x, labels, 0.0, IGNORED)

    return Sides(ours, {"PyTorch": lambda: torch_cross_entropy(x, labels)})


def torch_cross_entropy(x: NDArray, labels: NDArray) -> Run:
    t = pytorch()
    (tx,), tlabels = t.leaves(x), t.tensor(labels).long()
    return lambda: t.grad(t.F.cross_entropy(tx, tlabels), tx)


def squared_error(*shape: int) -> Sides:
    x, y, one = normal(*shape), normal(*shape), full(1e-3, 1)

    def ours() -> None:
        k.mean(k.squared_difference(x, y))
        k.squared_difference_gradient(one.broadcast_to(x.shape), x, y)

    def peer() -> Run:
        t = pytorch()
        (tx,), ty = t.leaves(x), t.tensor(y)
        return lambda: t.grad(t.F.mse_loss(tx, ty), tx)

    return Sides(ours, {"PyTorch": peer})
