"""Functions of each element on its own, of contiguous, broadcast, transposed and permuted arrays and short rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.case import Run, Sides
from bench.cases.data import k, normal, pytorch, rng
from needle.backend_ndarray import NDArray, cpu


def beside(ours: Run, peer: Callable[..., Any], *arrays: NDArray) -> Sides:
    """`peer` is the same function of the same arrays as torch's tensors."""

    def build() -> Run:
        tensors = [pytorch().tensor(x) for x in arrays]
        return lambda: peer(*tensors)

    return Sides(ours, {"PyTorch": build})


def add(rows: int, cols: int) -> Sides:
    x, y = normal(rows, cols), normal(rows, cols)
    return beside(lambda: x + y, lambda a, b: a + b, x, y)


def add_row(rows: int, cols: int) -> Sides:
    x, row = normal(rows, cols), normal(1, cols)
    return beside(lambda: x + row.broadcast_to((rows, cols)), lambda a, b: a + b, x, row)


def add_column(rows: int, cols: int) -> Sides:
    x, column = normal(rows, cols), normal(rows, 1)
    return beside(lambda: x + column.broadcast_to((rows, cols)), lambda a, b: a + b, x, column)


def add_transposed(rows: int, cols: int) -> Sides:
    x, y = normal(rows, cols), normal(cols, rows)
    return beside(lambda: x + y.permute((1, 0)), lambda a, b: a + b.T, x, y)


def add_permuted(shape: tuple[int, ...], axes: tuple[int, ...]) -> Sides:
    x = normal(*shape)
    view = x.permute(axes)
    return beside(lambda: view + view, lambda a: a.permute(axes) + a.permute(axes), x)


def exp(shape: tuple[int, ...], axes: tuple[int, ...]) -> Sides:
    x = normal(*shape)
    view = x.permute(axes)
    return beside(lambda: view.exp(), lambda a: a.permute(axes).exp(), x)


def copy_transposed(rows: int, cols: int) -> Sides:
    x = normal(rows, cols)
    view = x.permute((1, 0))
    return beside(lambda: view.compact(), lambda a: a.T.contiguous(), x)


def where(*shape: int) -> Sides:
    x, y, mask = normal(*shape), normal(*shape), rng.random(shape) < 0.5
    condition = NDArray(mask, device=cpu())

    def peer() -> Run:
        t = pytorch()
        a, b, chosen = t.tensor(x), t.tensor(y), t.torch.from_numpy(mask)
        return lambda: t.torch.where(chosen, a, b)

    return Sides(lambda: k.where(condition, x, y), {"PyTorch": peer})


def activation(name: str, *shape: int) -> Sides:
    """The function and its gradient."""
    x, g, options = normal(*shape), normal(*shape), (0.01,) if name == "leaky_relu" else ()
    forward, backward = getattr(k, name), getattr(k, name + "_gradient")

    def ours() -> None:
        forward(x, *options)
        backward(g, x, *options)

    def peer() -> Run:
        t = pytorch()
        (tx,), tg, function = t.leaves(x), t.tensor(g), getattr(t.F, name)
        return lambda: t.grad(function(tx), tx, tg)

    return Sides(ours, {"PyTorch": peer})
