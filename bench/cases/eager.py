"""Operations on so few elements that what is measured is their overhead: checks, the graph, the allocation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.case import Run, Sides
from bench.cases.data import normal, pytorch, variable


def both(function: Callable[[Any], Any], *shape: int) -> Sides:
    """The same expression of one tensor in both libraries."""
    x = normal(*shape)
    a = variable(x)

    def peer() -> Run:
        b = pytorch().tensor(x)
        return lambda: function(b)

    return Sides(lambda: function(a), {"PyTorch": peer})


def add(size: int) -> Sides:
    return both(lambda x: x + x, size)


def product(size: int) -> Sides:
    return both(lambda x: x @ x, size, size)


def slice_(size: int) -> Sides:
    return both(lambda x: x[2:6, 1:5], size, size)


def sum_(size: int) -> Sides:
    return both(lambda x: x.sum(), size, size)


def relu(size: int) -> Sides:
    import needle as ndl

    x = normal(size)
    a = variable(x)

    def peer() -> Run:
        t = pytorch()
        b = t.tensor(x)
        return lambda: t.torch.relu(b)

    return Sides(lambda: ndl.relu(a), {"PyTorch": peer})


def add_gradient(size: int) -> Sides:
    """Forward and backward, each time from no gradient."""
    x, y = normal(size), normal(size)

    def step(a: Any, b: Any) -> None:
        (a + b).sum().backward()
        a.grad = b.grad = None

    a, b = variable(x, True), variable(y, True)

    def peer() -> Run:
        ta, tb = pytorch().leaves(x, y)
        return lambda: step(ta, tb)

    return Sides(lambda: step(a, b), {"PyTorch": peer})
