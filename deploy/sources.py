"""Models by name, `package:name`, and the graphs they are frozen to."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from pathlib import Path
from typing import Any

from needle.types import Type

from .card import image_of
from .errors import DeployError
from .freeze import freeze
from .ir import Graph


def frozen(model: Any, source: str) -> Graph:
    """The graph of a module that says what it takes, by `example()` or by an image in its `card`, with its card."""
    card = getattr(model, "card", None) or {}
    image = image_of(card)
    if hasattr(model, "example"):
        example = model.example()
    elif image is not None:
        example = Type((1, image.channels, image.height, image.width))
    else:
        lacks = "has neither a card with an image input nor an example()"
        raise DeployError(f"[freeze] '{source}' {lacks}; use deploy.freeze")
    inputs, outputs = (["image"], ["logits"]) if image is not None else (None, None)
    graph = freeze(model, example, input_names=inputs, output_names=outputs)
    return dataclasses.replace(graph, card=card)


def frozen_decoding(model: Any, source: str, slots: int) -> Graph:
    """The graph that goes on with what it read before, of a module that says how by `decoding(slots)`."""
    if not hasattr(model, "decoding"):
        raise DeployError(f"[freeze] '{source}' does not decode: leave out --decoding")
    step, example, options = model.decoding(slots=slots)
    return dataclasses.replace(freeze(step, example, **options), card=getattr(model, "card", None) or {})


def load_module(source: str, weights: Path | None = None, adapter: Path | None = None) -> Any:
    """The module `package:name`: `package.load(name, pretrained=True)`, or with `weights` and `adapter`, where they are
    given. Raises DeployError.
    """
    package, colon, name = source.partition(":")
    if not colon or not package.isidentifier() or not name:
        raise DeployError(f"[freeze] a model is named package:name, such as zoo:resnet9, got '{source}'")
    try:
        load = importlib.import_module(package).load
    except (ImportError, AttributeError) as error:
        raise DeployError(f"[freeze] '{package}' has no function load(name, pretrained): {error}") from error
    given: dict[str, Any] = {"weights": weights, "adapter": adapter}
    given = {key: value for key, value in given.items() if value is not None}
    for key in given:
        if key not in inspect.signature(load).parameters:
            raise DeployError(f"[freeze] {package}.load takes no {key}; leave out --{key}")
    return load(name, **(given or {"pretrained": True}))
