"""Draws of a graph that is being traced: functions of a counter that is an input of it, in the place of numpy's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import pi
from typing import Any

from ..autograd import Tensor


class Draws:
    """Uniform numbers in [0, 1) that follow from `counter`; `count` is how many times some were drawn."""

    def __init__(self, counter: Tensor) -> None:
        self.counter, self.count = counter, 0

    def uniform(self, shape: Sequence[int]) -> Tensor:
        """The numbers of the next key."""
        from ..ops import random

        self.count += 1
        return random(self.counter, tuple(shape), self.count - 1)

    def normal(self, shape: Sequence[int]) -> Tensor:
        """sqrt(-2 log(1 - u)) cos(2 pi v) of uniform u and v, which is standard normal (Box and Muller, 1958)."""
        from ..ops import cos, log

        radius = (-2 * log(1 - self.uniform(shape))) ** 0.5
        return radius * cos(2 * pi * self.uniform(shape))


current: Draws | None = None  # of the trace that runs, which belongs to the whole process as LAZY_MODE does


@contextmanager
def drawn_from(counter: Tensor) -> Iterator[Draws]:
    """Inside the block `rand`, `randn` and `randb` record numbers that follow from `counter`."""
    global current
    before, current = current, Draws(counter)
    try:
        yield current
    finally:
        current = before


def finished(x: Tensor, dtype: Any) -> Tensor:
    """What was drawn, in the dtype that was asked for."""
    return x if str(dtype) == x.dtype else x.astype(str(dtype))
