"""The state of a module as named arrays: what is saved, and checked when it is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy

from ..autograd import Tensor
from ..errors import ShapeError


def named_tensors(value: object, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """(dotted name, tensor) of every tensor in a module: parameters and running statistics, in order of attributes."""
    items: Any
    match value:
        case Tensor():
            yield prefix, value
            return
        case dict():
            items = value.items()
        case list() | tuple():
            items = enumerate(value)
        case _:
            items = vars(value).items() if hasattr(value, "forward") else ()
    for name, item in items:
        yield from named_tensors(item, f"{prefix}.{name}" if prefix else str(name))


def state_dict(module: object) -> dict[str, numpy.ndarray]:
    """Copies of a module's tensors as numpy arrays, by dotted name."""
    return {name: numpy.array(tensor.numpy()) for name, tensor in named_tensors(module)}


def load_state_dict(module: object, state: Mapping[str, Any]) -> None:
    """Give a module's tensors the values in `state`; all of them or, if anything does not fit, none.

    Raises ShapeError that lists what is missing, what is unexpected and which shapes differ.
    """
    tensors = dict(named_tensors(module))
    problems = [f"missing {name}" for name in tensors if name not in state]
    problems += [f"unexpected {name}" for name in state if name not in tensors]
    problems += [
        f"{name} needs shape {tuple(tensor.shape)}, got {numpy.shape(state[name])}"
        for name, tensor in tensors.items()
        if name in state and numpy.shape(state[name]) != tuple(tensor.shape)
    ]
    if problems:
        raise ShapeError(f"[load_state_dict] the state does not fit {type(module).__name__}: " + "; ".join(problems))
    for name, tensor in tensors.items():
        tensor.data = Tensor(numpy.asarray(state[name]), device=tensor.device, dtype=tensor.dtype, requires_grad=False)
