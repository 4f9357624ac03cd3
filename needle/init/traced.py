"""Draws of a graph that is being traced: functions of a counter that is an input of it, in the place of numpy's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import pi
from typing import Any

from ..autograd import Tensor
from ..ops import cos, log, random
from . import basic


class Draws:
    """Numbers that follow from `counter`; `count` is how many times some were drawn."""

    def __init__(self, counter: Tensor) -> None:
        self.counter, self.count = counter, 0

    def uniform(self, shape: Sequence[int]) -> Tensor:
        """Uniform in [0, 1), those of the next key."""
        self.count += 1
        return random(self.counter, tuple(shape), self.count - 1)

    def normal(self, shape: Sequence[int]) -> Tensor:
        """sqrt(-2 log(1 - u)) cos(2 pi v) of uniform u and v, which is standard normal (Box and Muller, 1958)."""
        radius = (-2 * log(1 - self.uniform(shape))) ** 0.5
        return radius * cos(2 * pi * self.uniform(shape))

    @staticmethod
    def as_dtype(x: Tensor, dtype: Any) -> Tensor:
        """What was drawn, in the dtype that was asked for."""
        return x if str(dtype) == x.dtype else x.astype(str(dtype))


@contextmanager
def drawn_from(counter: Tensor) -> Iterator[Draws]:
    """Inside the block `rand`, `randn` and `randb` record numbers that follow from `counter`."""
    before, basic.traced = basic.traced, Draws(counter)
    try:
        yield basic.traced
    finally:
        basic.traced = before
