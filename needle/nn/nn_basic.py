"""Modules: parameters and other modules, with a forward rule; the basic layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from os import PathLike
from typing import Any, Self

from .. import init, ops
from ..autograd import Tensor
from ..errors import DTypeError, IndexRangeError, SettingError, ShapeError
from ..reprs import settings
from ..types import NUMBERS, plain_number
from ..weights import load_safetensors, save_safetensors
from . import module_state

__all__ = [
    "Dropout", "Flatten", "Identity", "Linear", "Module", "Parameter", "Residual", "Sequential", "SoftmaxLoss",
    "_child_modules", "_unpack_params",
]  # fmt: skip


class Parameter(Tensor):
    """A tensor that `Module.parameters()` finds, for an optimizer to update."""

    _shown = "needle.nn.Parameter"


def _unpack_params(value: object) -> list[Tensor]:
    """The parameters inside `value`, in order, through dicts, lists, tuples and modules."""
    match value:
        case Parameter():
            return [value]
        case Module():
            return _unpack_params(value.__dict__)
        case dict():
            return [param for item in value.values() for param in _unpack_params(item)]
        case list() | tuple():
            return [param for item in value for param in _unpack_params(item)]
    return []


def _child_modules(value: object) -> list[Module]:
    """The modules inside `value`, in order, through dicts, lists, tuples and modules."""
    match value:
        case Module():
            return [value, *_child_modules(value.__dict__)]
        case dict():
            return [module for item in value.values() for module in _child_modules(item)]
        case list() | tuple():
            return [module for item in value for module in _child_modules(item)]
    return []


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


class Identity(Module):
    """y = x."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Linear(Module):
    """y = x W + b, x (..., in_features), W (in_features, out_features), b (1, out_features).

    Draws W, then b, from kaiming_uniform. Raises ShapeError if the last axis of x is not in_features.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = "float32"
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        options = {"device": device, "dtype": dtype}
        self.weight = Parameter(init.kaiming_uniform(in_features, out_features, **options))
        self.bias = None
        if bias:
            self.bias = Parameter(init.kaiming_uniform(out_features, 1, **options).reshape((1, out_features)))

    def forward(self, x: Tensor) -> Tensor:
        check_features("Linear", x, self.in_features)
        y = ops.matmul(x, self.weight)
        return y if self.bias is None else y + ops.broadcast_to(self.bias, y.shape)


class Flatten(Module):
    """y[i] = all elements of x[i] in a row: (B, ...) to (B, product of the rest). ShapeError for shape ()."""

    def forward(self, x: Tensor) -> Tensor:
        if not x.shape:
            raise ShapeError("[Flatten] needs at least one axis, got shape ()")
        features = 1
        for size in x.shape[1:]:
            features *= size
        return ops.reshape(x, (x.shape[0], features))


class Sequential(Module):
    """y = f_n(... f_2(f_1(x))): the modules one after the other; x of the shape that the first one takes.

    `model[0]` is the first, `model[:2]` a Sequential of the first two. IndexRangeError outside them.
    """

    def __init__(self, *modules: Callable[[Any], Any]) -> None:
        super().__init__()
        self.modules = modules

    def __len__(self) -> int:
        return len(self.modules)

    def __iter__(self) -> Iterator[Callable[[Any], Any]]:
        return iter(self.modules)

    def __getitem__(self, index: Any) -> Any:
        """The module at an index, or the Sequential of a slice of them, which it shares with this one."""
        if isinstance(index, slice):
            part = Sequential(*self.modules[index])
            part.training = self.training
            return part
        try:
            return self.modules[index]
        except IndexError:
            raise IndexRangeError(f"[Sequential] index {index} is outside its {len(self)} modules") from None
        except TypeError:
            raise DTypeError(f"[Sequential] needs an int or a slice, got {type(index).__name__}") from None

    def forward(self, x: Any) -> Any:
        for module in self.modules:
            x = module(x)
        return x


class Residual(Module):
    """y = fn(x) + x."""

    def __init__(self, fn: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, x: Tensor) -> Tensor:
        return self.fn(x) + x


class SoftmaxLoss(Module):
    """loss = mean over rows of log sum exp(x) - x[label], with `smoothing` of the weight spread over all classes.

    logits (N, C), labels (N,) in 0..C-1. The loss has shape () in numpy mode and (1,) otherwise.
    """

    def __init__(self, smoothing: float = 0.0) -> None:
        super().__init__()
        self.smoothing = plain_number(smoothing)

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        return ops.cross_entropy(logits, y, self.smoothing)


class Dropout(Module):
    """y = x mask / (1 - p), mask = 1 with probability 1 - p, during training; y = x, and no draw, otherwise.

    x and y of any shape. Raises ValueError for p outside [0, 1).
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p: float = plain_number(p)
        if not isinstance(self.p, NUMBERS) or not 0 <= self.p < 1:
            raise SettingError(f"[Dropout] p must lie in [0, 1), got {p}")

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        mask = init.randb(*x.shape, p=1 - self.p, device=x.device, dtype=x.dtype)
        return x * (mask / (1 - self.p))
