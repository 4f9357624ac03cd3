"""An adapter as one weight with that of its layer: for a while, or for good."""

from __future__ import annotations

from typing import Any

from ...errors import NeedleError
from ..module import Module, Parameter
from ..nn_basic import Embedding
from ..nn_named import known, replace_modules
from .sites import active, adapted_layers, names


def merge(model: Module) -> None:
    """Let each adapted layer compute with W + s A B of the active adapter, as one weight: the cost of the base alone.

    For what is computed, served or frozen for a compiler from now on; the base's weights stay, beside the merged ones,
    and an adapter learns nothing while it is merged. Of one model at a time, for all rows of a batch. Results are those
    of before up to rounding. Raises NeedleError where no adapter is active, or one is merged.
    """
    if active(model) is None:
        raise NeedleError(f"[lora.merge] no adapter is active: activate one first{known('', names(model))}")
    not_merged("lora.merge", model)
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


def merge_and_unload(model: Module) -> None:
    """Let the model be one without adapters whose weights are W + s A B of the active one, with its whole modules.

    Its state and its graph are of the base's structure: it runs in the program to which the base was compiled, where
    the whole modules have the shapes of the base's. The base's own weights and all other adapters are given up. Raises
    NeedleError where none is active, and for an adapted Embedding, whose weight others may use (a tied head).
    """
    layers = adapted_layers(model)
    for at, layer in layers.items():
        if isinstance(layer, Embedding) and layer.adapters.get(layer.active or ""):
            raise NeedleError(
                f"[lora.merge_and_unload] {at!r} is an Embedding, whose weight others may use (a tied head): use "
                "lora.merge, which keeps both"
            )
    if not merged(model):
        merge(model)
    plain: dict[str, Any] = {at: layer.plain() for at, layer in layers.items()}
    for at, layer in layers.items():
        if layer.merged is not None:
            options = {"device": layer.weight.device, "dtype": layer.weight.dtype}
            plain[at].weight = Parameter(layer.merged, **options)
    replace_modules(model, plain)
    vars(model).pop("_before_lora").thaw()


def merged(model: Module) -> bool:
    """Whether the active adapter is merged."""
    return any(layer.merged is not None for layer in adapted_layers(model).values())


def not_merged(where: str, model: Module) -> None:
    if merged(model):
        raise NeedleError(f"[{where}] the model is merged: unmerge it first")
