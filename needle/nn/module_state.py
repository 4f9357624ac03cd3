"""The state of a module as named arrays: what is saved, and checked when it is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy

from ..autograd import Tensor
from ..errors import ShapeError

SHOWN = 20  # differences that a message lists


@dataclass
class StateDifference:
    """How a state differs from the module it was meant for; false where it does not.

    `missing` and `unexpected` are names, `shapes` and `dtypes` map names to (needed, given).
    """

    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    dtypes: dict[str, tuple[str, str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.shapes or self.dtypes)

    def __str__(self) -> str:
        from difflib import get_close_matches  # not needed where all goes well

        def unexpected(name: str) -> str:
            near = get_close_matches(name, self.missing, n=1)
            return f"unexpected {name}" + (f" (is it {near[0]}?)" if near else "")

        lines = [f"missing {name}" for name in self.missing] + [unexpected(name) for name in self.unexpected]
        for what, pairs in (("shape", self.shapes), ("dtype", self.dtypes)):
            lines += [f"{name} needs {what} {needed}, got {given}" for name, (needed, given) in pairs.items()]
        rest = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
        return "; ".join(lines[:SHOWN] + rest)


def walk(value: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, item) of every module and tensor in `value`, itself first, in order of attributes."""
    items: Any
    if isinstance(value, Tensor) or hasattr(value, "forward"):
        yield prefix, value
    match value:
        case Tensor():
            return
        case dict():
            items = value.items()
        case list() | tuple():
            items = enumerate(value)
        case _:
            items = vars(value).items() if hasattr(value, "forward") else ()
    for name, item in items:
        yield from walk(item, f"{prefix}.{name}" if prefix else str(name))


def named_tensors(module: object) -> Iterator[tuple[str, Tensor]]:
    """(dotted name, tensor) of every tensor in a module: parameters and running statistics, in order of attributes."""
    return ((name, item) for name, item in walk(module) if isinstance(item, Tensor))


def state_dict(module: object) -> dict[str, numpy.ndarray]:
    """Copies of a module's tensors as numpy arrays, by dotted name."""
    return {name: numpy.array(tensor.numpy()) for name, tensor in named_tensors(module)}


def difference(module: object, state: Mapping[str, Any]) -> StateDifference:
    """How `state` differs from what the module needs. A dtype that the module's can hold exactly does not count."""
    tensors = dict(named_tensors(module))
    found = StateDifference(
        missing=[name for name in tensors if name not in state],
        unexpected=[name for name in state if name not in tensors],
    )
    for name, needed in tensors.items():
        if name not in state:
            continue
        given = numpy.asarray(state[name])
        if given.shape != tuple(needed.shape):
            found.shapes[name] = (tuple(needed.shape), given.shape)
        if not numpy.can_cast(given.dtype, str(needed.dtype)):
            found.dtypes[name] = (str(needed.dtype), str(given.dtype))
    return found


def load_state_dict(
    module: object, state: Mapping[str, Any], strict: bool = True, where: str = "load_state_dict"
) -> StateDifference:
    """Give a module's tensors the values in `state`: all of them or, if anything does not fit, none.

    Without `strict` those are loaded whose name and shape fit, cast where their dtype differs, and the differences are
    returned. With it ShapeError lists them.
    """
    found = difference(module, state)
    if strict and found:
        raise ShapeError(f"[{where}] the state does not fit {type(module).__name__}: {found}")
    for name, tensor in named_tensors(module):
        if name in state and name not in found.shapes:
            array = numpy.asarray(state[name])
            tensor.data = Tensor(array, device=tensor.device, dtype=tensor.dtype, requires_grad=False)
    return found
