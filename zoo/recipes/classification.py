"""Recipes for image classifiers: their loss, their metrics, and the training that is usual for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy

import needle as ndl
from needle import nn, optim
from needle.data.transforms import Cutout, RandomCrop, RandomFlip
from needle.training import TrainStep

from ..base import Model
from .base import Data, Step
from .images import ImageRecipe, image_spec, normalized


@dataclass(frozen=True)
class Classification(ImageRecipe):
    """Labelled images; the metrics are fractions of the test images whose label is the most probable one.

    A subclass defines `optimizers`; the loss is the cross entropy with its `label_smoothing`.
    """

    dataset: str = "cifar-10"
    label_smoothing = 0.0  # without a type, for it is a setting only of the recipes that declare it

    meanings: ClassVar[Mapping[str, str]] = {
        "top1": "the fraction of the test images whose label is the most probable one",
        "top1_mirrored": "the same, where each image and its mirror image are asked",
    }

    def optimizers(self, model: Any, steps: int) -> tuple[list[optim.Optimizer], list[optim.Schedule]]:
        """What updates the parameters, and what sets its rates in `steps` updates."""
        raise self._lacks("optimizers")

    def step(self, model: Model, steps: int) -> Step:
        return TrainStep(model, nn.SoftmaxLoss(self.label_smoothing), *self.optimizers(model, steps))

    def evaluate(self, model: Model, data: Data) -> dict[str, float]:
        """`top1`: of the image as it is. `top1_mirrored`: of the mean of the logits for it and for its mirror image."""
        test = data.test
        plain = logits(model, test.pixels)
        mirrored = plain + logits(model, numpy.ascontiguousarray(test.pixels[..., ::-1]))
        return {
            name: float(numpy.mean(answers.argmax(axis=1) == test.labels))
            for name, answers in (("top1", plain), ("top1_mirrored", mirrored))
        }

    def show(self, model: Model, data: Data, folder: Path) -> dict[str, Any]:
        """`confusion`: how many test images of class i (a row) were taken for class j (a column)."""
        found = logits(model, data.test.pixels).argmax(axis=1)
        classes = len(model.card["labels"])
        counts = numpy.bincount(data.test.labels * classes + found, minlength=classes * classes)
        return {"confusion": counts.reshape(classes, classes).tolist()}


def logits(model: Model, pixels: numpy.ndarray, batch: int = 1000) -> numpy.ndarray:
    """The model's answers for uint8 images (n, c, h, w), `batch` at a time."""
    parts = []
    for start in range(0, len(pixels), batch):
        x = normalized(pixels[start : start + batch], image_spec(model))
        parts.append(model(ndl.Tensor(x, device=ndl.cpu(), requires_grad=False)).numpy())
    return numpy.concatenate(parts)


@dataclass(frozen=True)
class NesterovRecipe(Classification):
    """SGD with Nesterov's momentum; linear warm-up, then cosine or linear decay; crop, flip, cutout; smoothed labels.

    `warmup` is a fraction of all steps, `decay` one of DECAYS, `cutout` the size of the squares (0: none).
    """

    epochs: int = 30
    batch: int = 128
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup: float = 0.05
    decay: str = "cosine"
    label_smoothing: float = 0.0
    crop: int = 4
    crop_padding: str = "zero"
    flip: float = 0.5
    cutout: int = 0

    def augment(self, spec: dict[str, Any]) -> list[Any]:
        moved = [RandomCrop(self.crop, self.crop_padding), RandomFlip(self.flip)]
        return [*moved, *super().augment(spec), *([Cutout(self.cutout)] if self.cutout else [])]

    def optimizers(self, model: Any, steps: int) -> tuple[list[optim.Optimizer], list[optim.Schedule]]:
        optimizer = optim.NesterovSGD(model.parameters(), self.lr, self.momentum, self.weight_decay)
        return [optimizer], [DECAYS[self.decay](optimizer, steps, warmup=round(self.warmup * steps))]


DECAYS = {"cosine": optim.CosineSchedule, "linear": optim.LinearSchedule}
