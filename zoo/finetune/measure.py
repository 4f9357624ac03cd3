"""How well a model does on a text, rows or images of a user's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from needle.errors import DataError

from ..base import Model
from ..image_classifier import ImageClassifier
from ..language_model import LanguageModel
from ..registry import ZooError
from . import images, language
from .config import Config
from .folder import CONFIG
from .photos import read_photos, split
from .prepare import read_json
from .task import path_of
from .texts import read_examples, read_held


def measure(model: Model, data: str) -> dict[str, float]:
    """The model's numbers on all of the data: of text `loss`, `bits_per_byte` and `token_accuracy`, of images `loss`
    and `accuracy`. Raises DataError for data that are malformed or have other classes, ZooError for other models.
    """
    path = path_of(data)
    if isinstance(model, LanguageModel):
        return language.measured(model, read_held(path, model.tokenizer, model.context))
    if isinstance(model, ImageClassifier):
        return images.measured(model, read_photos(path, model.card["input"], model.card["labels"]))
    raise ZooError("[evaluate] language models and image classifiers can be measured on data of your own")


def measure_held(model: Model, folder: Path) -> dict[str, float]:
    """The model's numbers on what the run in a folder has held out. Raises DataError where there is no such run."""
    facts: Any = read_json(folder / CONFIG)
    if not isinstance(facts, dict) or "base" not in facts:
        raise DataError(
            f"[evaluate] {folder} is not the folder of a fine-tuning run: name the data to measure on, --data"
        )
    config = Config.parse(facts)
    if config.validation_data is not None:
        return measure(model, config.validation_data)
    if isinstance(model, LanguageModel):
        read = (model.tokenizer, model.context, config.validation, config.seed)
        _, held = read_examples(path_of(config.data), *read)
        found = None if held is None else language.measured(model, held)
    elif isinstance(model, ImageClassifier):
        photos = read_photos(path_of(config.data), model.card["input"], model.card["labels"])
        _, part = split(photos, config.validation, config.seed, config.data)
        found = None if part is None else images.measured(model, part)
    else:
        raise ZooError("[evaluate] language models and image classifiers can be measured on data of your own")
    if found is None:
        raise DataError(f"[evaluate] the run in {folder} held nothing out: name the data to measure on, --data")
    return found
