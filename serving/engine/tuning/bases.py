"""Which of the models that are served can be fine-tuned: those of the zoo, with weights, that take text or images."""

from pathlib import Path
from typing import Any, NamedTuple

import zoo
from needle.errors import NeedleError
from needle.weights import read_safetensors
from serving.engine.errors import ServingError
from serving.engine.sources import Source, is_tuned


class Base(NamedTuple):
    """A model of the zoo, by name, and the file of its weights; None for those in the package."""

    name: str
    weights: Path | None

    @property
    def file(self) -> str | None:
        """The path of its weights as it stands in rows."""
        return None if self.weights is None else str(self.weights)


def base_of(source: Source) -> Base:
    """What a job begins with that is to fine-tune a model that is served. Raises ServingError."""
    if is_tuned(source.name):
        raise ServingError("[model] a fine-tuned model cannot be tuned on: name its base, and all that it is to learn")
    found = Base(source.name, None) if source.path is None else _of_file(source)
    record = zoo.entry(found.name)
    kinds: Any = record.input.spec().get("kind"), record.output.spec().get("kind")
    if kinds not in (("image", "labels"), ("text", "text")):
        raise ServingError(f"[model] {source.name} is neither a language model nor an image classifier")
    return found


def _of_file(source: Source) -> Base:
    if source.path is None or source.path.suffix != ".safetensors":
        needed = "one of the zoo, or a file of weights that needle-zoo train wrote"
        raise ServingError(f"[model] {source.name} cannot be fine-tuned: it must be {needed}")
    try:
        name = read_safetensors(source.path)[1].get("model", "")
        zoo.entry(name)
    except NeedleError as problem:
        raise ServingError(f"[model] {source.name} cannot be fine-tuned: {problem}") from None
    return Base(name, source.path.resolve())
