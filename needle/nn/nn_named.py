"""What is done to some modules of a model, by their names: replacing them, and training only them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import prod
from typing import Any

from ..autograd import Tensor
from ..errors import NeedleError
from .module import Module

__all__ = ["ParameterCount", "freeze", "replace_modules", "trainable_parameters", "unfreeze"]

SHOWN = 20  # names that a message lists


@dataclass(frozen=True)
class ParameterCount:
    """How many numbers of a model learn: `trainable` of `total` elements of its parameters."""

    trainable: int
    total: int

    @classmethod
    def of(cls, model: Module) -> ParameterCount:
        """The count of a model's parameters, shared ones once."""
        sizes = [(prod(p.shape), p.requires_grad) for p in model.parameters()]
        return cls(sum(size for size, learns in sizes if learns), sum(size for size, _ in sizes))

    def __str__(self) -> str:
        share = 100 * self.trainable / max(1, self.total)
        return f"{self.trainable:,} of {self.total:,} parameters learn ({share:.3g} %)"


def trainable_parameters(model: Module) -> list[Tensor]:
    """The parameters that require a gradient, in the order of `model.parameters()`: what an optimizer is given."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def freeze(model: Module, except_: str | Iterable[str] = ()) -> ParameterCount:
    """Let nothing learn but the parameters in the modules that `except_` names; what learns then.

    Names are those of `named_modules()`, or patterns of them ("*.norm", "linear*"). The others require no gradient: no
    product is computed for one (kernels that make all gradients at once, of layer normalisation and recurrent layers,
    make theirs too, and they are dropped). Frozen batch normalisation keeps and uses its running statistics during
    training too: what is frozen stays as it is, bit for bit. Undone by `unfreeze`. Raises NeedleError for a name that
    no module has.
    """
    modules = dict(model.named_modules())
    learning = [modules[name] for name in matching("freeze", modules, except_)]
    kept = {parameter for module in learning for parameter in module.parameters()}
    inside = {module for each in learning for module in (each, *each._children())}
    for parameter in model.parameters():
        parameter.requires_grad = parameter in kept
    for module in modules.values():
        if hasattr(module, "frozen"):
            module.frozen = module not in inside
    return ParameterCount.of(model)


def unfreeze(model: Module) -> ParameterCount:
    """Let every parameter learn again, and batch normalisation collect its statistics."""
    return freeze(model, except_=[""])


def replace_modules(model: Module, modules: Mapping[str, Module]) -> dict[str, Module]:
    """Put each module in the place of the one with its name, wherever the model holds that one; those that were there.

    Attributes, lists, tuples and dicts are searched, as `named_modules()` does. Raises NeedleError, before anything is
    changed, for a name that no module has, for "", which is the model itself, and for what is no Module.
    """
    present = dict(model.named_modules())
    for name, new in modules.items():
        if name not in present or not name:
            raise NeedleError(f"[replace_modules] no module inside is called {name!r}{known(name, present)}")
        if not isinstance(new, Module):
            raise NeedleError(f"[replace_modules] {name} needs a Module, got a {type(new).__name__}")
    old = {name: present[name] for name in modules}
    _replaced(vars(model), {id(old[name]): modules[name] for name in modules}, {id(model)})
    return old


def _replaced(value: Any, new: Mapping[int, Module], seen: set[int]) -> Any:
    """`value` with modules replaced, by identity, inside it: in place but for tuples, which cannot be changed."""
    if id(value) in new:
        return new[id(value)]
    if isinstance(value, Module):
        if id(value) not in seen:
            seen.add(id(value))
            _replaced(vars(value), new, seen)
        return value
    match value:
        case dict():
            for key, item in value.items():
                value[key] = _replaced(item, new, seen)
        case list():
            value[:] = [_replaced(item, new, seen) for item in value]
        case tuple():
            items = [_replaced(item, new, seen) for item in value]
            if any(item is not before for item, before in zip(items, value, strict=True)):
                return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


def matching(where: str, names: Iterable[str], patterns: str | Iterable[str]) -> list[str]:
    """Those of `names` that equal or match one of the patterns, in order. NeedleError for one that matches none."""
    names, patterns = list(names), [patterns] if isinstance(patterns, str) else list(patterns)
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise NeedleError(f"[{where}] names of modules are strings, got a {type(pattern).__name__}")
        if not any(fnmatchcase(name, pattern) for name in names):
            raise NeedleError(f"[{where}] no module is called {pattern!r}{known(pattern, names)}")
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def known(name: str, names: Iterable[str]) -> str:
    """What a message says of the names that exist: the nearest, and the first of all."""
    names = [each for each in names if each]
    from difflib import get_close_matches  # not needed where all goes well

    near = get_close_matches(name, names, n=1)
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (f": is it {near[0]}?" if near else ".") + f" There are {', '.join(names[:SHOWN]) or 'none'}{rest}"
