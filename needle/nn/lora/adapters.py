"""Named adapters of a model: adding, activating, merging and removing them, and their state."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy

from ...errors import NeedleError, SettingError, ShapeError
from ...optim.settings import fraction, number, whole
from .. import module_state
from ..module import Module
from ..nn_basic import Linear
from ..nn_named import ParameterCount, freeze, known, matching, replace_modules
from .layers import KINDS, WHOLE, Adapted, LowRank
from .merging import not_merged
from .sites import Before, Site, Whole, active, adapted_layers, adapter, before, names, sites


def add(
    model: Module, rank: int = 8, alpha: float = 16, *, targets: str | Iterable[str], dropout: float = 0.0,
    rslora: bool = False, name: str = "default", seed: int = 0,
    modules_to_save: Mapping[str, Linear] | Iterable[str] = (),
) -> ParameterCount:  # fmt: skip
    """y = x W + (alpha / rank) (dropout(x) A) B in place of y = x W in the targets; only A and B learn; their number.

    W (inputs, outputs), A (inputs, rank), B (rank, outputs); convolutions and embeddings likewise. `targets` are names
    or patterns ("*.qkv", "linear*") of Linear, Conv, Conv2d and Embedding layers; where a layer holds several side by
    side their names stand for its columns ("*.attention.q"), unless the whole layer is a target too. A pattern takes
    what can be adapted among what it matches. With `rslora` the factor is alpha / sqrt(rank). A fresh adapter changes
    nothing: see `LowRank` for what is drawn, from a generator of its own made of `seed`, layer by layer in the model's
    order; dropout draws from numpy's global generator. `modules_to_save` are Linear layers that the adapter has whole,
    which learn and are saved beside: names, of which it takes copies, or modules to put in their place, such as a head
    for other classes. All else in the model is frozen as by `needle.nn.freeze`, and the new adapter is the active one.
    Weights are replaced in one model at a time: the rows of a batch share an adapter. Raises NeedleError for targets
    that cannot be adapted, a name that is taken, or a merged model, and SettingError for a rank, alpha, dropout or seed
    outside its range.
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
    not_merged("lora.add", model)
    chosen = _targets(model, targets)
    heads = _whole(model, modules_to_save, {site.layer for site in chosen.values()})
    generator = numpy.random.default_rng(int(seed))
    if not adapted_layers(model):
        vars(model)["_before_lora"] = Before.of(model)
    record, modules = before(model), dict(model.named_modules())
    record.whole[name] = heads
    record.modules = {at: modules[at] for at in heads} | record.modules
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
    not_merged("lora.activate", model)
    record = before(model)
    whole = record.whole.get(name or "", {})
    replace_modules(model, {**record.modules, **whole})
    freeze(model)
    for parameter in (p for module in whole.values() for p in module.parameters()):
        parameter.requires_grad = True
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
    not_merged("lora.remove", model)
    if not adapted_layers(model):
        return
    if name is None or active(model) == name:
        activate(model, None)
    empty = {}
    before(model).whole.pop(name or "", None)
    for at, layer in adapted_layers(model).items():
        layer.adapters = {} if name is None else {k: v for k, v in layer.adapters.items() if k != name}
        if not layer.adapters:
            empty[at] = layer.plain()
    replace_modules(model, empty)
    if not adapted_layers(model):
        vars(model).pop("_before_lora").thaw()


def state_dict(model: Module, name: str = "default") -> dict[str, numpy.ndarray]:
    """Copies of an adapter's A (..., rank) and B (rank, outputs), "site.A" and "site.B", and of its whole modules.

    Raises NeedleError without one.
    """
    return module_state.state_dict({**adapter("lora.state_dict", model, name), **before(model).whole[name]})


def load_state_dict(model: Module, state: Mapping[str, Any], name: str = "default") -> None:
    """Give an adapter the values of a `state_dict`: all of them or, where anything does not fit, none.

    Raises NeedleError without such an adapter or for a merged model, ShapeError that lists what does not fit.
    """
    found = {**adapter("lora.load_state_dict", model, name), **before(model).whole[name]}
    not_merged("lora.load_state_dict", model)
    difference = module_state.difference(found, state)
    if difference:
        raise ShapeError(f"[lora.load_state_dict] the state does not fit adapter {name!r}: {difference}")
    module_state.load_state_dict(found, state)


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
    taken = [name for name, site in chosen.items() if site.layer in before(model).modules]
    if taken:
        raise NeedleError(f"[lora.add] {taken[0]!r} is a whole module of another adapter, which cannot be adapted")
    return {name: site for name, site in chosen.items() if site.part == WHOLE or site.layer not in entire}


def _whole(model: Module, given: Mapping[str, Linear] | Iterable[str], targets: set[str]) -> Whole:
    """The whole modules of an adapter: those given, or copies of the named ones of the base. Raises NeedleError."""
    present = dict(model.named_modules()) | before(model).modules
    given = [given] if isinstance(given, str) else given
    found: Whole = {}
    for name in given:
        there = present.get(name)
        if type(there) is not Linear or name in targets:
            why = "is a target" if name in targets else f"is {type(there).__name__ if there else 'not there'}"
            linear = [at for at, module in present.items() if type(module) is Linear]
            raise NeedleError(
                f"[lora.add] modules_to_save are Linear layers without adapters: {name!r} {why}{known(name, linear)}"
            )
        module = given[name] if isinstance(given, Mapping) else copy.deepcopy(there)
        if not isinstance(module, Linear) or module.in_features != there.in_features:
            raise NeedleError(f"[lora.add] in the place of {name!r} goes a Linear of {there.in_features} in_features")
        found[name] = module
    return found
