"""What can be adapted in a model, what is, and what the model was before: the places, by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ...autograd import Tensor
from ...errors import NeedleError
from ..module import Module
from ..nn_named import known
from .layers import WHOLE, Adapted, Adapter, adaptable


class Site(NamedTuple):
    """What can be adapted under one name: all columns of a layer, or those of one of its parts."""

    layer: str  # the layer's name
    part: str
    columns: tuple[int, int]


Whole = dict[str, Any]  # modules that an adapter has of its own in the place of the base's, by name


@dataclass
class Before:
    """The model before the first adapter: what learned, which statistics were collected, and the modules in whose
    place adapters have `whole` ones of their own. So it is again when the last adapter goes.
    """

    parameters: list[Tensor]
    collecting: list[Any]
    modules: Whole = field(default_factory=dict)
    whole: dict[str, Whole] = field(default_factory=dict)

    @classmethod
    def of(cls, model: Module) -> Before:
        """What `freeze` is about to change."""
        collecting = [module for _, module in model.named_modules() if getattr(module, "frozen", None) is False]
        return cls([p for p in model.parameters() if p.requires_grad], collecting)

    def thaw(self) -> None:
        """Give it back."""
        for parameter in self.parameters:
            parameter.requires_grad = True
        for module in self.collecting:
            module.frozen = False


def sites(model: Module) -> dict[str, Site]:
    """What can be adapted, by name: layers and, of those that hold several (`fused`), the parts: "attention.q"."""
    found: dict[str, Site] = {}
    for name, module in model.named_modules():
        if name and adaptable(module):
            found[name] = Site(name, WHOLE, (0, module.weight.shape[-1]))  # type: ignore[attr-defined]
        for layer, parts in getattr(module, "fused", {}).items():
            where = f"{name}.{layer}" if name else layer
            width = getattr(module, layer).weight.shape[-1] // len(parts)
            for i, part in enumerate(parts):
                found[f"{name}.{part}" if name else part] = Site(where, part, (i * width, (i + 1) * width))
    return found


def adapted_layers(model: Module) -> dict[str, Adapted]:
    """The adapted layers by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, Adapted)}


def before(model: Module) -> Before:
    """The record of the model without adapters; an empty one where it has none."""
    found: Before = vars(model).get("_before_lora") or Before([], [])
    return found


def names(model: Module) -> list[str]:
    """The names of the adapters, in the order in which they came."""
    return list(dict.fromkeys(name for layer in adapted_layers(model).values() for name in layer.adapters))


def active(model: Module) -> str | None:
    """The name of the active adapter; None where the model computes what it did without any."""
    return next((layer.active for layer in adapted_layers(model).values()), None)


def adapter(where: str, model: Module, name: str) -> Adapter:
    """The parts of an adapter by the names of their sites. Raises NeedleError without one."""
    if name not in names(model):
        raise NeedleError(f"[{where}] there is no adapter {name!r}{known(str(name), names(model))}")
    layers = adapted_layers(model)
    return {
        at: layers[site.layer].adapters[name][site.part]
        for at, site in sites(model).items()
        if site.layer in layers and site.part in layers[site.layer].adapters.get(name, {})
    }
