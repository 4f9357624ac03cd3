"""Image classifiers learn classes of a user's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy

import needle as ndl
from needle import ops
from needle.data import DataLoader, NDArrayDataset
from needle.data.transforms import Normalize, RandomCrop, RandomFlip
from needle.types import Type

from ..heads import head_for, head_of, relabel
from ..image_classifier import ImageClassifier
from ..recipes.classification import logits
from .config import Config
from .photos import Photos, read_photos, split
from .task import Task, path_of, sites

MISTAKES = 8  # that are shown


class ImageTask(Task):
    """The loss is the mean cross entropy of the labels; a head for classes that are not the model's own is new."""

    model: ImageClassifier
    wanted_batch = 32
    least_batch = 8
    wanted_rank = 32

    def __init__(self, config: Config, model: ImageClassifier) -> None:
        super().__init__(config, model)
        self.spec: dict[str, Any] = model.card["input"]
        path = path_of(config.data)
        found = read_photos(path, self.spec)
        own = config.validation_data is None
        self.learn, self.measured = split(found, config.validation if own else 0.0, config.seed, str(path))
        if config.validation_data is not None:
            self.measured = read_photos(path_of(config.validation_data), self.spec, found.classes)
        if list(found.classes) != list(model.card["labels"]):
            name, _ = head_of(model)
            self.whole = {name: head_for(model, len(found.classes))}
            self.name = name
            relabel(model, found.classes)
        else:
            self.name, _ = head_of(model)

    def targets(self) -> list[str]:
        return sites(self.model, {self.name} if self.whole else set())

    def head(self) -> str:
        return self.name

    def loader(self, batch: int) -> DataLoader:
        crop, flip = self.config.crop, self.config.flip
        augment = [*([RandomCrop(crop, "reflect")] if crop else []), *([RandomFlip(flip)] if flip else [])]
        return DataLoader(
            NDArrayDataset(self.learn.pixels, self.learn.labels), batch, shuffle=True, seed=self.config.seed,
            drop_last=True, augment=[*augment, Normalize(self.spec["mean"], self.spec["std"])],
        )  # fmt: skip

    def loss(self, logits: ndl.Tensor, targets: ndl.Tensor) -> ndl.Tensor:
        return ops.cross_entropy(logits, targets)

    def counted(self, *batch: Any) -> int:
        return int(batch[1].shape[0])

    def input(self, batch: int) -> Type:
        return Type((batch, *self.learn.pixels.shape[1:]))

    def evaluate(self, most: int | None = None) -> dict[str, float]:
        if self.measured is None:
            return {}
        return measured(self.model, self.measured, most)

    def show(self) -> dict[str, Any]:
        """The held-out images of which the model names another class than theirs, the most certain mistakes first."""
        if self.measured is None:
            return {}
        found = logits(self.model, self.measured.pixels)
        certain = found.max(axis=1) - found[numpy.arange(len(found)), self.measured.labels]
        wrong = [int(i) for i in numpy.argsort(-certain, kind="stable") if certain[i] > 0]
        names = self.measured.classes
        mistakes = [
            {"image": self.measured.sources[i], "label": names[self.measured.labels[i]],
             "answer": names[int(found[i].argmax())]}
            for i in wrong[:MISTAKES]
        ]  # fmt: skip
        return {"mistakes": mistakes, "wrong": len(wrong), "of": len(found)}

    def facts(self) -> dict[str, Any]:
        return {"labels": list(self.learn.classes)}

    def arrays(self) -> Mapping[str, numpy.ndarray]:
        parts = {"": self.learn} if self.measured is None else {"": self.learn, "held ": self.measured}
        found = {f"{at}pixels": part.pixels for at, part in parts.items()}
        found |= {f"{at}labels": part.labels for at, part in parts.items()}
        return found | {"classes": numpy.frombuffer("\n".join(self.learn.classes).encode(), dtype="uint8")}


def measured(model: ImageClassifier, photos: Photos, most: int | None = None) -> dict[str, float]:
    """The mean cross entropy, `loss`, and the fraction of the images whose label is the most probable, `accuracy`."""
    if most is not None:
        photos = photos.part(numpy.arange(min(most, len(photos))))
    found, labels = logits(model, photos.pixels, 250), ndl.Tensor(photos.labels, requires_grad=False)
    loss = ops.cross_entropy(ndl.Tensor(found, requires_grad=False), labels)
    return {"loss": float(loss.numpy().item()), "accuracy": float((found.argmax(axis=1) == photos.labels).mean())}
