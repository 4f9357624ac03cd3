"""What every layer is: a module, which holds parameters and other modules and has a forward rule."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from os import PathLike
from typing import Any, Self

from ..autograd import Tensor
from ..errors import ShapeError
from ..reprs import settings
from ..weights import load_safetensors, save_safetensors
from . import module_state


class Parameter(Tensor):
    """A tensor that `Module.parameters()` finds, for an optimizer to update."""

    _shown = "needle.nn.Parameter"


def _walk(value: object) -> Iterator[Any]:
    """The parameters and modules inside `value`, in order, through dicts, lists, tuples and modules."""
    items: Any = ()
    match value:
        case Parameter():
            yield value
        case Module():
            yield value
            items = value.__dict__.values()
        case dict():
            items = value.values()
        case list() | tuple():
            items = value
    for item in items:
        yield from _walk(item)


def _unpack_params(value: object) -> list[Tensor]:
    """The parameters inside `value`, in order, through dicts, lists, tuples and modules."""
    return [item for item in _walk(value) if isinstance(item, Parameter)]


def _child_modules(value: object) -> list[Module]:
    """The modules inside `value`, in order, through dicts, lists, tuples and modules."""
    return [item for item in _walk(value) if isinstance(item, Module)]


class Module:
    """A function with parameters: subclasses set attributes in `__init__` and write `forward`.

    `module(x)` is `forward(x)`; each module says which shapes it takes, and raises ShapeError for others.
    """

    training: bool

    def __init__(self) -> None:
        self.training = True

    def parameters(self) -> list[Tensor]:
        """The parameters of this module and those inside it, in order of attributes; a shared one appears once."""
        return list(dict.fromkeys(_unpack_params(self)))

    def named_parameters(self) -> list[tuple[str, Tensor]]:
        """(dotted name, parameter) of each of `parameters()`: names as in `state_dict`, the first of a shared one."""
        names: dict[Tensor, str] = {}
        for name, tensor in module_state.named_tensors(self):
            names.setdefault(tensor, name)
        return [(names[parameter], parameter) for parameter in self.parameters()]

    def named_modules(self) -> list[tuple[str, Module]]:
        """(dotted name, module) of this module, whose name is "", and of those inside it, each once."""
        found: dict[Module, str] = {}
        for name, item in module_state.walk(self):
            if isinstance(item, Module):
                found.setdefault(item, name)
        return [(name, module) for module, name in found.items()]

    def _children(self) -> list[Module]:
        return _child_modules(self.__dict__)

    def eval(self) -> Self:
        """Behave as after training: no dropout, running statistics in batch normalisation. Returns this module."""
        return self.train(False)

    def train(self, mode: bool = True) -> Self:
        """Behave as during training, or with mode False as after it. Returns this module."""
        modules: list[Module] = [self, *self._children()]
        for module in modules:
            module.training = bool(mode)
        return self

    def state_dict(self) -> dict[str, Any]:
        """Copies of the parameters and running statistics as numpy arrays, by dotted name."""
        return module_state.state_dict(self)

    def load_state_dict(self, arrays: Mapping[str, Any], strict: bool = True) -> module_state.StateDifference:
        """Take over the arrays of a `state_dict`: all or none.

        Raises ShapeError that lists what is missing, unexpected (with the nearest name), and of another shape or dtype.
        With `strict=False` takes over what fits in name and shape, and returns the differences.
        """
        return module_state.load_state_dict(self, arrays, strict)

    def save(self, path: str | PathLike[str], metadata: Mapping[str, str] | None = None) -> None:
        """Write the `state_dict` to a safetensors file, whole or not at all. Raises DataError where it cannot be."""
        save_safetensors(path, self.state_dict(), metadata)

    def load(self, path: str | PathLike[str], strict: bool = True) -> module_state.StateDifference:
        """`load_state_dict` from a safetensors file.

        Raises DataError for a file that cannot be read or is malformed, ShapeError for one that does not fit.
        """
        return module_state.load_state_dict(self, load_safetensors(path), strict, where=str(path))

    def extra_repr(self) -> str:
        """What the text of this module says between its brackets: its settings. For subclasses to override."""
        return ", ".join(settings(self))

    def __repr__(self) -> str:
        from .tree import tree

        return tree(self)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The value of this module; `module(x)` calls it."""
        raise NotImplementedError

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)


def check_features(where: str, x: Tensor, features: int, axis: int = -1, ndim: int | None = None) -> None:
    """Raise ShapeError unless `x` has `ndim` axes (when given) and `features` elements along `axis`."""
    shape = tuple(x.shape)
    if ndim is not None and len(shape) != ndim:
        raise ShapeError(f"[{where}] needs an input of {ndim} axes, got shape {shape}")
    if len(shape) < max(-axis, axis + 1) or shape[axis] != features:
        needed = f"[{where}] needs {features} features on axis {axis} of the input, got shape {shape}"
        raise ShapeError(needed + _hint(shape, features))


def _hint(shape: tuple[int, ...], features: int) -> str:
    """What usually is the cause when no axis, or another one, has the features."""
    if features in shape[1:]:
        return f": axis {shape.index(features, 1)} has {features}, is a permute missing?"
    if math.prod(shape[1:]) == features:
        return ": its axes after the first have as many elements together, is nn.Flatten() missing?"
    return ""
