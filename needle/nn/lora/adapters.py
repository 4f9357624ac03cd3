"""Named adapters of a model: adding, activating, merging and removing them, and their state."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy

from ...autograd import Tensor
from ...errors import NeedleError, SettingError, ShapeError
from ...optim.settings import fraction, number, whole
from .. import module_state
from ..module import Module
from ..nn_named import ParameterCount, freeze, known, matching, replace_modules
from .layers import KINDS, WHOLE, Adapted, Adapter, LowRank, adaptable


class Site(NamedTuple):
    """What can be adapted under one name: all columns of a layer, or those of one of its parts."""

    layer: str  # the layer's name
    part: str
    columns: tuple[int, int]


@dataclass
class Frozen:
    """What learned, and which statistics were collected, before the first adapter: so it is when the last one goes."""

    parameters: list[Tensor]
    collecting: list[Any]

    @classmethod
    def of(cls, model: Module) -> Frozen:
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


def names(model: Module) -> list[str]:
    """The names of the adapters, in the order in which they came."""
    return list(dict.fromkeys(name for layer in adapted_layers(model).values() for name in layer.adapters))


def active(model: Module) -> str | None:
    """The name of the active adapter; None where the model computes what it did without any."""
    return next((layer.active for layer in adapted_layers(model).values()), None)


def add(
    model: Module, rank: int = 8, alpha: float = 16, *, targets: str | Iterable[str], dropout: float = 0.0,
    rslora: bool = False, name: str = "default", seed: int = 0,
) -> ParameterCount:  # fmt: skip
    """y = x W + (alpha / rank) (dropout(x) A) B in place of y = x W in the targets; only A and B learn; their number.

    W (inputs, outputs), A (inputs, rank), B (rank, outputs); convolutions and embeddings likewise. `targets` are names
    or patterns ("*.qkv", "linear*") of Linear, Conv, Conv2d and Embedding layers; where a layer holds several side by
    side their names stand for its columns ("*.attention.q"), unless the whole layer is a target too. A pattern takes
    what can be adapted among what it matches. With `rslora` the factor is alpha / sqrt(rank). A fresh adapter changes
    nothing: see `LowRank` for what is drawn, from a generator of its own made of `seed`, layer by layer in the model's
    order; dropout draws from numpy's global generator. All else in the model is frozen as by `needle.nn.freeze`, and
    the new adapter is the active one. Weights are replaced in one model at a time: the rows of a batch share an
    adapter. Raises NeedleError for targets that cannot be adapted, a name that is taken, or a merged model, and
    SettingError for a rank, alpha, dropout or seed outside its range.
    Source: Hu et al., "LoRA: low-rank adaptation of large language models", 2021; rslora: Kalajdzievski, 2023.
    """
    whole("lora.add", rank=rank)
    whole("lora.add", least=0, seed=seed)
    (dropout,) = fraction("lora.add", dropout=dropout)
    alpha = number("lora.add", "alpha", alpha)
    if not 0 < alpha < math.inf:
        raise SettingError(f"[lora.add] alpha must be a finite number greater than 0, got {alpha}")
    if not isinstance(name, str) or not name or "." in name:
        raise SettingError(f"[lora.add] the name of an adapter is a string without a dot, got {name!r}")
    if name in names(model):
        raise NeedleError(f"[lora.add] the model has an adapter {name!r}: remove it, or give this one another name")
    _not_merged("lora.add", model)
    chosen = _targets(model, targets)
    generator = numpy.random.default_rng(int(seed))
    if not adapted_layers(model):
        vars(model)["_before_lora"] = Frozen.of(model)
    modules = dict(model.named_modules())
    layers = {site.layer: modules[site.layer] for site in chosen.values()}
    new = {at: KINDS[type(layer)](layer) for at, layer in layers.items() if not isinstance(layer, Adapted)}
    for at, layer in layers.items():
        parts = {site.part: site.columns for site in chosen.values() if site.layer == at}
        into: Any = new.get(at, layer)
        into.adapters[name] = {
            part: LowRank(into, int(rank), alpha, dropout, bool(rslora), columns, generator)
            for part, columns in parts.items()
        }
    replace_modules(model, new)
    for layer in adapted_layers(model).values():
        layer.train(layer.training)
    return activate(model, name)


def activate(model: Module, name: str | None) -> ParameterCount:
    """Let the adapter of this name act and learn, and no other; with None the model computes what it did without any.

    What learns then. Raises NeedleError for a name that there is not, or a merged model.
    """
    if name is not None:
        adapter("lora.activate", model, name)
    _not_merged("lora.activate", model)
    freeze(model)
    for layer in adapted_layers(model).values():
        layer.active = name
        for low in layer.adapters.get(name or "", {}).values():
            low.A.requires_grad = low.B.requires_grad = True
    return ParameterCount.of(model)


def remove(model: Module, name: str | None = None) -> None:
    """Take away one adapter, or all with None. With the last one the model is what it was: its layers, what learns.

    Removing the active one leaves none active. Raises NeedleError for a name that there is not, or a merged model.
    """
    if name is not None:
        adapter("lora.remove", model, name)
    _not_merged("lora.remove", model)
    if not adapted_layers(model):
        return
    if name is None or active(model) == name:
        activate(model, None)
    empty = {}
    for at, layer in adapted_layers(model).items():
        layer.adapters = {} if name is None else {k: v for k, v in layer.adapters.items() if k != name}
        if not layer.adapters:
            empty[at] = layer.plain()
    replace_modules(model, empty)
    if not adapted_layers(model):
        vars(model).pop("_before_lora").thaw()


def merge(model: Module) -> None:
    """Let each adapted layer compute with W + s A B of the active adapter, as one weight: the cost of the base alone.

    For what is computed, served or frozen for a compiler from now on; the base's weights stay, beside the merged ones,
    and an adapter learns nothing while it is merged. Of one model at a time, for all rows of a batch. Results are those
    of before up to rounding. Raises NeedleError where no adapter is active, or one is merged.
    """
    if active(model) is None:
        raise NeedleError(f"[lora.merge] no adapter is active: activate one first{known('', names(model))}")
    _not_merged("lora.merge", model)
    for layer in adapted_layers(model).values():
        layer.merge()


def unmerge(model: Module) -> None:
    """Let each adapted layer compute with its own weight, which was kept, and the adapter beside it again.

    Raises NeedleError for a model that is not merged.
    """
    if not merged(model):
        raise NeedleError("[lora.unmerge] the model is not merged")
    for layer in adapted_layers(model).values():
        layer.merged = None


def merged(model: Module) -> bool:
    """Whether the active adapter is merged."""
    return any(layer.merged is not None for layer in adapted_layers(model).values())


def state_dict(model: Module, name: str = "default") -> dict[str, numpy.ndarray]:
    """Copies of an adapter's A (..., rank) and B (rank, outputs), "site.A" and "site.B". NeedleError without one."""
    return module_state.state_dict(adapter("lora.state_dict", model, name))


def load_state_dict(model: Module, state: Mapping[str, Any], name: str = "default") -> None:
    """Give an adapter the values of a `state_dict`: all of them or, where anything does not fit, none.

    Raises NeedleError without such an adapter or for a merged model, ShapeError that lists what does not fit.
    """
    found = adapter("lora.load_state_dict", model, name)
    _not_merged("lora.load_state_dict", model)
    difference = module_state.difference(found, state)
    if difference:
        raise ShapeError(f"[lora.load_state_dict] the state does not fit adapter {name!r}: {difference}")
    module_state.load_state_dict(found, state)


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


def _targets(model: Module, targets: str | Iterable[str]) -> dict[str, Site]:
    """The sites that the targets choose; a whole layer's in place of its parts'. Raises NeedleError."""
    patterns, found = [targets] if isinstance(targets, str) else list(targets), sites(model)
    if not patterns:
        raise NeedleError(f"[lora.add] needs targets, got none{known('', found)}")
    modules = dict(model.named_modules())
    for pattern in patterns:
        if pattern in modules and pattern not in found:
            kind = type(modules[pattern]).__name__
            takes = ", ".join(each.__name__ for each in KINDS)
            raise NeedleError(
                f"[lora.add] {pattern!r} is a {kind}, which cannot be adapted; those can that are a {takes} "
                f"(convolutions of one group, not dilated){known(pattern, found)}"
            )
    chosen = {name: found[name] for name in matching("lora.add", found, patterns)}
    entire = {site.layer for site in chosen.values() if site.part == WHOLE}
    return {name: site for name, site in chosen.items() if site.part == WHOLE or site.layer not in entire}


def _not_merged(where: str, model: Module) -> None:
    if merged(model):
        raise NeedleError(f"[{where}] the model is merged: unmerge it first")
