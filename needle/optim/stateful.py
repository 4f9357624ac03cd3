"""The state of optimizers, schedules and training steps: named arrays, from which another of the kind goes on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy

from ..autograd import Tensor
from ..errors import NeedleError

State = dict[str, numpy.ndarray]
LOWEST = -float(numpy.finfo(float).max)


class Stateful:
    """What consists of numbers, arrays and parts, and goes on from its saved state as if nothing had been between.

    A number stands in the state by its attribute's name, an array as `_arrays` names it, and what belongs to a part of
    `_parts`, which has a state itself, by "part.name".
    """

    counts: tuple[str, ...] = ()  # the attributes that are numbers which every state has
    settings: tuple[str, ...] = ()  # those which someone may change; states from before they joined may lack them

    def _arrays(self) -> State:
        """Copies of the arrays of its own."""
        return {}

    def _parts(self) -> dict[str, Any]:
        """What has a state of its own, by the prefix of its names; they are loaded in this order."""
        return {}

    def state_dict(self) -> State:
        """Copies of all that the next step depends on, as named numpy arrays: the settings too."""
        parts = {
            f"{prefix}.{name}": array
            for prefix, part in self._parts().items()
            for name, array in part.state_dict().items()
        }
        counts = {name: numpy.array(getattr(self, name)) for name in self.counts}
        present = [name for name in self.settings if hasattr(self, name)]
        settings = {name: numpy.array(float(getattr(self, name) or 0)) for name in present}
        return parts | self._arrays() | counts | settings

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict` was taken, with the settings of then where the state has them.

        Raises NeedleError when the state is that of another kind.
        """
        where, parts = type(self).__name__, self._parts()
        numbers: dict[str, Any] = {name: type(getattr(self, name))(stored(where, state, name)) for name in self.counts}
        for name in self.settings:
            if name in state:
                found, flag = stored(where, state, name, LOWEST), isinstance(getattr(self, name, None), bool)
                numbers[name] = bool(found) if flag else found
        arrays: State = {}
        states: dict[str, State] = {prefix: {} for prefix in parts}
        for key, array in state.items():
            prefix, _, name = key.partition(".")
            if prefix in parts:
                states[prefix][name] = array
            elif key not in numbers:
                arrays[key] = array
        self._restore(numbers, arrays)
        for prefix, part in parts.items():
            part.load_state_dict(states[prefix])

    def _restore(self, numbers: dict[str, Any], arrays: Mapping[str, Any]) -> None:
        """Take over the numbers and arrays of a state. Raises NeedleError, before any change, for one that fits not."""
        for key in arrays:
            parts = ", ".join(self._parts())
            raise NeedleError(f"[{type(self).__name__}] the state has {key!r}, but this step consists of {parts}")
        for name, value in numbers.items():
            setattr(self, name, value)


def stored(where: str, state: Mapping[str, Any], name: str, low: float = 0) -> float:
    """The number `name` of a state. Raises NeedleError unless it is there, one, finite and at least `low`."""
    if name not in state:
        raise NeedleError(f"[{where}] the state lacks {name!r}")
    array = numpy.asarray(state[name])
    if array.shape != () or array.dtype.kind not in "iuf" or not low <= array < math.inf:
        needed = f"one number from {low} on" if low == 0 else "one finite number"
        raise NeedleError(f"[{where}] {name} of the state must be {needed}, got {array}")
    return float(array)


def copies(tensors: Iterable[tuple[str, Tensor]]) -> State:
    """Copies of the values of named tensors."""
    return {name: numpy.array(tensor.numpy()) for name, tensor in tensors}


def like(tensor: Tensor, array: Any) -> Tensor:
    """A copy of an array as a constant of the tensor's device and dtype."""
    return Tensor(numpy.array(array), device=tensor.device, dtype=tensor.dtype, requires_grad=False)
