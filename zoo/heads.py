"""The last layer of an image classifier, and classifiers for other classes than they were made for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from needle import nn
from needle.errors import NeedleError

from .image_classifier import ImageClassifier


def head_of(model: ImageClassifier) -> tuple[str, nn.Linear]:
    """The name of the layer that gives the logits, the last Linear with one output for each label, and the layer.

    Raises NeedleError for a model that has none.
    """
    count = len(model.card["labels"])
    found = [(at, m) for at, m in model.named_modules() if isinstance(m, nn.Linear) and m.out_features == count]
    if not found:
        raise NeedleError(f"[{model.card['name']}] has no Linear layer with {count} outputs, one for each label")
    return found[-1]


def head_for(model: ImageClassifier, classes: int) -> nn.Linear:
    """A fresh layer like the model's head, drawn from numpy's generator, with an output for each of `classes`."""
    _, head = head_of(model)
    options: dict[str, Any] = {"device": head.weight.device, "dtype": head.weight.dtype}
    return nn.Linear(head.in_features, classes, bias=head.bias is not None, **options)


def relabel(model: ImageClassifier, labels: Sequence[str]) -> None:
    """Let the card name these classes, and no numbers: those were measured on others."""
    output = {**model.card["output"], "count": len(labels)}
    model.card = {**model.card, "labels": list(labels), "output": output, "measured": {}}


def replace_head(model: ImageClassifier, labels: Sequence[str]) -> None:
    """Give the model a fresh head for these classes and their names, unless they are its own already."""
    if list(labels) != list(model.card["labels"]):
        name, _ = head_of(model)
        nn.replace_modules(model, {name: head_for(model, len(labels))})
        relabel(model, labels)
