"""How the course's ResNet9 is trained: Muon, a triangular schedule, batches drawn by one generator an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy

import needle as ndl
from needle import nn, optim
from needle.data.epochs import EpochIterator, Loader
from needle.data.transforms.functional import training_batch
from needle.training import TrainStep

from ..base import Model
from ..datasets import Split
from .base import Data, Step, matrices, without
from .classification import Classification
from .images import image_spec, scale_and_shift


@dataclass(frozen=True)
class MuonRecipe(Classification):
    """Muon on the matrices, AdamW on the rest; linear warm-up then linear decay; crop and flip; smoothed labels."""

    epochs: int = 60
    batch: int = 256
    muon_lr: float = 0.05
    momentum: float = 0.95
    adam_lr: float = 0.005
    weight_decay: float = 0.5
    warmup: float = 0.1
    label_smoothing: float = 0.1
    crop: int = 3
    crop_padding: str = "reflect"
    flip: float = 0.5

    def loader(self, data: Data, model: Model, seed: int, workers: int = 0) -> EpochBatches:
        return EpochBatches(data.train, self, image_spec(model), seed)

    def optimizers(self, model: Any, steps: int) -> tuple[list[optim.Optimizer], list[optim.Schedule]]:
        hidden = matrices(model)[:-1]  # Muon is for matrices and convolutions between hidden layers
        adam = optim.AdamW(without(model.parameters(), hidden), weight_decay=self.weight_decay)
        return [optim.Muon(hidden, momentum=self.momentum), adam], []

    def step(self, model: Model, steps: int) -> Step:
        return MuonStep(model, self, steps)


class EpochBatches(Loader):
    """Augmented, normalised batches (x (n, c, h, w), labels (n,)); a last partial batch is left out.

    Every draw of an epoch comes from one generator keyed by (seed, epoch).
    """

    def __init__(self, split: Split, recipe: MuonRecipe, spec: dict[str, Any], seed: int) -> None:
        self.split, self.recipe, self.seed = split, recipe, seed
        self.scale_and_shift = scale_and_shift(spec)

    def __len__(self) -> int:
        return len(self.split.labels) // self.recipe.batch

    def _begin(self, epoch: int, position: int) -> EpochIterator:
        rng = numpy.random.default_rng([self.seed, epoch])
        batches = drawn(self.split, self.recipe, *self.scale_and_shift, rng)
        for _ in range(position):
            next(batches)  # made only to bring the generator to its place
        return EpochIterator(epoch, position, len(self), lambda _: next(batches))


def drawn(
    split: Split, recipe: MuonRecipe, scale: numpy.ndarray, shift: numpy.ndarray, rng: numpy.random.Generator
) -> Iterator[tuple[ndl.Tensor, ...]]:
    """The batches of one epoch, every draw of which is of `rng`."""
    order = rng.permutation(len(split.labels))
    for start in range(0, len(order) - recipe.batch + 1, recipe.batch):
        chosen = order[start : start + recipe.batch]
        x = training_batch(
            split.pixels, chosen, rng, crop=recipe.crop, mode=recipe.crop_padding, flip=recipe.flip,
            scale=scale, shift=shift,
        )  # fmt: skip
        labels = ndl.Tensor(split.labels[chosen], device=ndl.cpu(), dtype="int64", requires_grad=False)
        yield ndl.Tensor(x, device=ndl.cpu(), requires_grad=False), labels


def triangle(progress: float, warmup: float) -> float:
    """The schedule's factor: 0 to 1 over the first `warmup` of the run, then back to 0; `progress` runs from 0 to 1."""
    return progress / warmup if progress < warmup else (1 - progress) / (1 - warmup)


class MuonStep(TrainStep):
    """A step that sets the rates of Muon and AdamW itself, both on one `triangle`, and Muon's decay with them."""

    counts, settings = ("done",), ()

    def __init__(self, model: nn.Module, recipe: MuonRecipe, steps: int) -> None:
        made: list[Any] = recipe.optimizers(model, steps)[0]
        super().__init__(model, nn.SoftmaxLoss(recipe.label_smoothing), made)
        self.muon, self.adam = made
        self.recipe, self.steps, self.done = recipe, steps, 0

    def _update(self) -> dict[str, float]:
        factor = triangle((self.done + 1) / (self.steps + 1), self.recipe.warmup)
        self.muon.lr, self.adam.lr = factor * self.recipe.muon_lr, factor * self.recipe.adam_lr
        self.muon.decay = self.adam.lr * self.recipe.weight_decay
        self.done += 1
        return super()._update()

    def _parts(self) -> dict[str, Any]:
        return {"model": self.model, "muon": self.muon, "adam": self.adam}
