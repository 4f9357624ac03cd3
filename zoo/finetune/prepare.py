"""From a config to a task: the base's weights, what is new in it, and its data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy

from needle.weights import read_safetensors

from ..base import Model
from ..datasets import Split
from ..image_classifier import ImageClassifier
from ..language_model import LanguageModel
from ..recipes.base import Data
from ..registry import Entry, ZooError, build_as, entry, load_file, weights_of
from .config import Config
from .images import ImageTask
from .language import LanguageTask
from .task import Task, path_of


def prepared(config: Config) -> Task:
    """The task, with its model adapted to the method and in evaluation mode; draws are those of the config's seed.

    Sets numpy's global generator. Raises ZooError for a model that cannot be fine-tuned, DataError for data that are
    malformed.
    """
    record = entry(config.base)
    numpy.random.seed(config.seed)
    model = base(config, record)
    if isinstance(model, LanguageModel):
        task: Task = LanguageTask(config, model)
    elif isinstance(model, ImageClassifier):
        task = ImageTask(config, model)
    else:
        raise ZooError(f"[finetune] {config.base} is neither a language model nor an image classifier: {record.task}")
    if not config.pretrained and isinstance(task, ImageTask):
        learn = Split(task.learn.pixels, task.learn.labels)
        record.recipe.prepare(model, Data(learn, learn))
    task.adapt()
    model.eval()
    return task


def base(config: Config, record: Entry) -> Model:
    """The model that a run begins with: trained, or with `pretrained` False built as the trained one, or by default."""
    weights = None if config.weights is None else str(path_of(config.weights))
    if config.pretrained:
        return load_file(record, *weights_of(record, weights))
    if weights is None and not record.shipped:
        return record.make()
    path, sha256 = weights_of(record, weights)
    return build_as(record, path, read_safetensors(path, sha256)[1])


def builder(config: Config) -> dict[str, str]:
    """What a file of weights says of how its model is built: as the base's file does."""
    record = entry(config.base)
    weights = None if config.weights is None else str(path_of(config.weights))
    if weights is None and not record.shipped:
        return {"model": record.name}
    facts = read_safetensors(*weights_of(record, weights))[1]
    return {"model": record.name, **{key: facts[key] for key in ("config",) if key in facts}}


def named(config: Config) -> str:
    """The run in words."""
    return f"{config.base} on {Path(config.data).name}"


def read_json(path: Path) -> Any:
    """A JSON file of a run's folder; None where there is none, or it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
