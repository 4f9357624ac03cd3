"""Square single-precision matrix products beside numpy's BLAS, both on as many threads as the environment says."""

from __future__ import annotations

from bench.case import Run, Sides
from bench.cases.data import normal


def square(n: int) -> Sides:
    """(n, n) @ (n, n)."""
    x, y = normal(n, n), normal(n, n)

    def peer() -> Run:
        a, b = x.numpy(), y.numpy()
        return lambda: a @ b

    return Sides(lambda: x @ y, {"numpy": peer})
