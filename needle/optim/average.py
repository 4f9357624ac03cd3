"""An exponential moving average of weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy

from .. import reprs
from ..autograd import Tensor
from ..errors import NeedleError
from .settings import fraction, parameters
from .stateful import State, Stateful, copies, like


class WeightAverage(Stateful):
    """a = decay a + (1 - decay) p for each tensor p, with a = p at first.

    Give it the running statistics along with the parameters where those are to be averaged too, and give it to a
    `TrainStep`, which updates it after each of its updates and keeps it with the rest of its state.
    Raises ValueError for a decay outside [0, 1).
    Source: Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992.
    """

    settings = ("decay",)

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

    def _arrays(self) -> State:
        return copies((str(i), average) for i, average in enumerate(self.average))

    def _restore(self, numbers: dict[str, Any], arrays: Mapping[str, Any]) -> None:
        given = {key: numpy.shape(array) for key, array in arrays.items()}
        needed = {str(i): tuple(tensor.shape) for i, tensor in enumerate(self.tensors)}
        for key in [*needed, *given]:
            if needed.get(key) != given.get(key):
                raise NeedleError(
                    f"[WeightAverage] average {key} needs shape {needed.get(key)}, the state has {given.get(key)}"
                )
        super()._restore(numbers, {})
        self.average = [like(tensor, arrays[str(i)]) for i, tensor in enumerate(self.tensors)]

    def _set(self, values: list[Tensor]) -> None:
        for tensor, value in zip(self.tensors, values, strict=True):
            tensor.data = value
