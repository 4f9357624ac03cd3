"""How airnet is trained: Muon on weights of fixed norm, Nesterov's momentum on the rest, an alternating flip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from needle import nn, optim
from needle.data import DataLoader, NDArrayDataset
from needle.data.transforms import AlternatingFlip, Normalize, RandomCrop
from needle.training import TrainStep

from .classify import Classification, scale_and_shift
from .recipe import Data
from .registry import Model

WHITENED = 5000  # images that the whitening is computed from


@dataclass(frozen=True)
class AirbenchRecipe(Classification):
    """All rates fall linearly to 0; convolutions by Muon, biases and the last layer by Nesterov's momentum.

    The gains of the normalisations stay 1. Source: Jordan's airbench94_muon, whose rates for the sum over a batch of
    2,000 are here those for the mean.
    """

    epochs: int = 12
    batch: int = 1000
    muon_lr: float = 0.17
    muon_momentum: float = 0.6
    bias_lr: float = 53.0
    head_lr: float = 0.01
    momentum: float = 0.85
    shrink: float = 0.002  # what decay takes off biases and the last layer at the first step, as a fraction
    label_smoothing: float = 0.2
    crop: int = 2

    def prepare(self, model: Any, data: Data) -> None:
        """The whitening is fitted to the first training images."""
        scale, shift = (each[:, None, None] for each in scale_and_shift(model.card["input"]))
        model.net.whitening.fit(data.train.pixels[:WHITENED].astype("float32") * scale + shift)

    def loader(self, data: Data, model: Model, seed: int, workers: int = 0) -> DataLoader:
        spec = model.card["input"]
        augment = [RandomCrop(self.crop, "reflect"), AlternatingFlip(), Normalize(spec["mean"], spec["std"])]
        return DataLoader(
            NDArrayDataset(*data.train), self.batch, shuffle=True, drop_last=True,
            seed=seed, augment=augment, workers=workers,
        )  # fmt: skip

    def step(self, model: Any, steps: int) -> TrainStep:
        net = model.net
        layers = net.features.modules
        convs = [layer.weight for layer in layers if isinstance(layer, nn.Conv)]
        biases = [net.whitening.bias, *(layer.bias for layer in layers if isinstance(layer, nn.BatchNorm2d))]
        optimizers: list[optim.Optimizer] = [optim.Muon(convs, self.muon_lr, self.muon_momentum, normalized=True)]
        for parameters, lr in ((biases, self.bias_lr), ([net.classifier.weight], self.head_lr)):
            optimizers.append(optim.NesterovSGD(parameters, lr, self.momentum, weight_decay=self.shrink / lr))
        schedules = [optim.LinearSchedule(each, steps) for each in optimizers]
        return TrainStep(model, nn.SoftmaxLoss(self.label_smoothing), optimizers, schedules)
