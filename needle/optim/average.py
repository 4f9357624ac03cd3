"""An exponential moving average of weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from .. import reprs
from ..autograd import Tensor
from .settings import fraction, parameters


class WeightAverage:
    """a = decay a + (1 - decay) p for each tensor p, with a = p at first.

    Give it the running statistics along with the parameters where those are to be averaged too.
    Raises ValueError for a decay outside [0, 1).
    Source: Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992.
    """

    def __init__(self, tensors: Iterable[Tensor], decay: float = 0.999) -> None:
        self.tensors = parameters("WeightAverage", tensors)
        (self.decay,) = fraction("WeightAverage", decay=decay)
        self.average = [tensor.data for tensor in self.tensors]

    def __repr__(self) -> str:
        return reprs.call(self, reprs.settings(self), reprs.tensors(getattr(self, "tensors", ()), "element"))

    def update(self) -> None:
        """Take in the present values."""
        for index, tensor in enumerate(self.tensors):
            mixed = self.average[index] * self.decay + tensor.data * (1 - self.decay)
            self.average[index] = Tensor(mixed, dtype=tensor.dtype, requires_grad=False)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The tensors hold their averages inside the `with` block, and their own values again after it."""
        own = [tensor.data for tensor in self.tensors]
        try:
            self._set(self.average)
            yield
        finally:
            self._set(own)

    def _set(self, values: list[Tensor]) -> None:
        for tensor, value in zip(self.tensors, values, strict=True):
            tensor.data = value
