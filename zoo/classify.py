"""Recipes for image classifiers: their data, their metrics, and the training that is usual for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy

import needle as ndl
from needle import nn, optim
from needle.data import DataLoader, NDArrayDataset
from needle.data.transforms import Cutout, Normalize, RandomCrop, RandomFlip
from needle.training import TrainStep

from .datasets import bars, images
from .recipe import Data, Recipe
from .registry import Model


@dataclass(frozen=True)
class Classification(Recipe):
    """Labelled images; the metrics are fractions of the test images whose label is the most probable one."""

    dataset: str = "cifar-10"

    def data(self, folder: str | None = None) -> Data:
        return Data(images(self.dataset, True, folder), images(self.dataset, False, folder))

    def generated(self) -> Data:
        return Data(bars(self.dataset, 128, seed=0), bars(self.dataset, 64, seed=1))

    def evaluate(self, model: Model, data: Data) -> dict[str, float]:
        """`top1`: of the image as it is. `top1_mirrored`: of the mean of the logits for it and for its mirror image."""
        test = data.test
        plain = logits(model, test.pixels)
        mirrored = plain + logits(model, numpy.ascontiguousarray(test.pixels[..., ::-1]))
        return {
            name: float(numpy.mean(answers.argmax(axis=1) == test.labels))
            for name, answers in (("top1", plain), ("top1_mirrored", mirrored))
        }


def logits(model: Model, pixels: numpy.ndarray, batch: int = 1000) -> numpy.ndarray:
    """The model's answers for uint8 images (n, c, h, w), `batch` at a time."""
    scale, shift = (each[:, None, None] for each in scale_and_shift(model.card["input"]))
    parts = []
    for start in range(0, len(pixels), batch):
        x = pixels[start : start + batch].astype("float32") * scale + shift
        parts.append(model(ndl.Tensor(x, device=ndl.cpu(), requires_grad=False)).numpy())
    return numpy.concatenate(parts)


def scale_and_shift(spec: dict[str, Any]) -> tuple[numpy.ndarray, numpy.ndarray]:
    """(pixels / 255 - mean) / std as pixels scale + shift, per channel: two float32 arrays (channels,)."""
    mean, std = (numpy.asarray(spec[key], dtype="float32") for key in ("mean", "std"))
    return 1 / (255 * std), -mean / std


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

    def loader(self, data: Data, model: Model, seed: int, workers: int = 0) -> DataLoader:
        spec = model.card["input"]
        augment = [
            RandomCrop(self.crop, self.crop_padding),
            RandomFlip(self.flip),
            Normalize(spec["mean"], spec["std"]),
            *([Cutout(self.cutout)] if self.cutout else []),
        ]
        return DataLoader(
            NDArrayDataset(*data.train), self.batch, shuffle=True, drop_last=True,
            seed=seed, augment=augment, workers=workers,
        )  # fmt: skip

    def step(self, model: Model, steps: int) -> TrainStep:
        optimizer = optim.NesterovSGD(model.parameters(), self.lr, self.momentum, self.weight_decay)
        schedule = DECAYS[self.decay](optimizer, steps, warmup=round(self.warmup * steps))
        return TrainStep(model, nn.SoftmaxLoss(self.label_smoothing), optimizer, schedule)


DECAYS = {"cosine": optim.CosineSchedule, "linear": optim.LinearSchedule}
