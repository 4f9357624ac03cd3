"""How the course's ResNet9 is trained: Muon, a triangular schedule, batches drawn by one generator an epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy

import needle as ndl
from needle import nn, ops, optim
from needle.data import augment
from needle.data.passes import Epochs, Pass

from .classify import Classification, scale_and_shift
from .datasets import Split
from .recipe import Data, Step
from .registry import Model


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
        return EpochBatches(data.train, self, model.card["input"], seed)

    def step(self, model: Model, steps: int) -> Step:
        return MuonStep(model, self, steps)


class EpochBatches(Epochs):
    """Augmented, normalised batches (x (n, c, h, w), labels (n,)); a last partial batch is left out.

    Every draw of an epoch comes from one generator keyed by (seed, epoch).
    """

    def __init__(self, split: Split, recipe: MuonRecipe, spec: dict[str, Any], seed: int) -> None:
        self.split, self.recipe, self.seed = split, recipe, seed
        self.scale_and_shift = scale_and_shift(spec)

    def __len__(self) -> int:
        return len(self.split.labels) // self.recipe.batch

    def _begin(self, epoch: int, position: int) -> Pass:
        rng = numpy.random.default_rng([self.seed, epoch])
        batches = drawn(self.split, self.recipe, *self.scale_and_shift, rng)
        for _ in range(position):
            next(batches)  # made only to bring the generator to its place
        return Pass(epoch, position, len(self), lambda _: next(batches))


def drawn(
    split: Split, recipe: MuonRecipe, scale: numpy.ndarray, shift: numpy.ndarray, rng: numpy.random.Generator
) -> Iterator[tuple[ndl.Tensor, ...]]:
    """The batches of one epoch, every draw of which is of `rng`."""
    order = rng.permutation(len(split.labels))
    for start in range(0, len(order) - recipe.batch + 1, recipe.batch):
        chosen = order[start : start + recipe.batch]
        x = augment.training_batch(
            split.pixels, chosen, rng, crop=recipe.crop, mode=recipe.crop_padding, flip=recipe.flip,
            scale=scale, shift=shift,
        )  # fmt: skip
        labels = ndl.Tensor(split.labels[chosen], device=ndl.cpu(), dtype="int64", requires_grad=False)
        yield ndl.Tensor(x, device=ndl.cpu(), requires_grad=False), labels


def triangle(progress: float, warmup: float) -> float:
    """The schedule's factor: 0 to 1 over the first `warmup` of the run, then back to 0; `progress` runs from 0 to 1."""
    return progress / warmup if progress < warmup else (1 - progress) / (1 - warmup)


class MuonStep:
    """A model and its two optimizers as one thing that can be stepped, saved and restored."""

    def __init__(self, model: nn.Module, recipe: MuonRecipe, steps: int) -> None:
        self.model, self.recipe, self.steps, self.done = model, recipe, steps, 0
        matrices, others = split_parameters(model)
        self.muon = optim.Muon(matrices, momentum=recipe.momentum)
        self.adam = optim.AdamW(others, weight_decay=recipe.weight_decay)

    def train(self) -> None:
        self.model.train()

    def eval(self) -> None:
        self.model.eval()

    def __call__(self, x: ndl.Tensor, labels: ndl.Tensor) -> dict[str, float]:
        """One update on one batch; the loss before it."""
        factor = triangle((self.done + 1) / (self.steps + 1), self.recipe.warmup)
        self.muon.lr, self.adam.lr = factor * self.recipe.muon_lr, factor * self.recipe.adam_lr
        self.muon.decay = self.adam.lr * self.recipe.weight_decay
        for optimizer in (self.muon, self.adam):
            optimizer.reset_grad()
        loss = ops.cross_entropy(self.model(x), labels, smoothing=self.recipe.label_smoothing)
        loss.backward()
        for optimizer in (self.muon, self.adam):
            optimizer.step()
        self.done += 1
        return {"loss": float(loss.numpy().item())}

    def state_dict(self) -> dict[str, numpy.ndarray]:
        """Everything that the next step depends on, as named arrays."""
        arrays = {
            f"{part}.{name}": array
            for part in ("model", "muon", "adam")
            for name, array in getattr(self, part).state_dict().items()
        }
        return arrays | {"done": numpy.array(self.done)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""
        for part in ("model", "muon", "adam"):
            prefix = part + "."
            own = {key.removeprefix(prefix): array for key, array in state.items() if key.startswith(prefix)}
            getattr(self, part).load_state_dict(own)
        self.done = int(state["done"])


def split_parameters(model: nn.Module) -> tuple[list[Any], list[Any]]:
    """(matrices, the rest): Muon is for matrices and convolutions between hidden layers, not for the last layer."""
    parameters = model.parameters()
    matrices = [p for p in parameters if sum(size > 1 for size in p.shape) >= 2]
    last = matrices.pop()
    return matrices, [p for p in parameters if p is last or not any(p is m for m in matrices)]
