"""Losses with their gradients."""

from __future__ import annotations

from bench.case import Run, Sides
from bench.cases.data import full, k, normal, pytorch, whole
from needle.backend_ndarray import NDArray, cpu

IGNORED = -100  # the label of a row that does not count, in both libraries


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
