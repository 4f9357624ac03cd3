"""Recipes for language models: their text, loss and metrics, and training on windows and on columns of text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy

import needle as ndl
from needle import nn, ops, optim
from needle.data import DataLoader, TextColumns, TextDataset
from needle.optim.stateful import State, copies
from needle.training import TrainStep
from needle.weights import atomic_write

from ..base import Model
from ..corpora import Texts, made_up, texts, tokenizer_of
from .base import Data, Recipe, Step, matrices, without


def next_token_loss(logits: ndl.Tensor, targets: ndl.Tensor) -> ndl.Tensor:
    """The mean over all places of -log p(target); logits (..., vocabulary), targets one for each place."""
    places = math.prod(logits.shape[:-1])
    return ops.cross_entropy(ops.reshape(logits, (places, logits.shape[-1])), ops.reshape(targets, (places,)))


@dataclass(frozen=True)
class LanguageRecipe(Recipe):
    """AdamW with linear warm-up and cosine decay, weights of matrices decayed, gradients clipped to a norm.

    With `muon_lr` the matrices between hidden layers are Muon's, at that rate.
    `tokens` is "characters", "words" or "bpe", the last two with at most `vocabulary` of them.
    """

    epochs: int = 10
    batch: int = 64
    dataset: str = "tinyshakespeare"
    tokens: str = "characters"
    vocabulary: int | None = None
    lr: float = 1e-3
    final_lr: float = 1e-4
    warmup: int = 100
    beta2: float = 0.99
    weight_decay: float = 0.1
    clip: float = 1.0
    muon_lr: float = 0.0

    written: ClassVar[int] = 400  # tokens of a sample
    meanings: ClassVar[Mapping[str, str]] = {
        "loss": "cross entropy of the held-out text, in nats a token",
        "perplexity": "its exponential: among how many equally likely tokens the model hesitates",
        "bits_per_byte": "cross entropy in bits, for each byte of the held-out text: what one token is does not matter",
    }

    def data(self, folder: str | None = None) -> Data:
        return self._ids(texts(self.dataset, folder))

    def generated(self) -> Data:
        return self._ids(made_up())

    def _ids(self, found: Texts) -> Data:
        """The ids of both texts (n,); the tokenizer, trained on the first, travels with the weights."""
        tokenizer = tokenizer_of(self.tokens, found.train, self.vocabulary)
        train, test = (numpy.array(tokenizer.encode(text), dtype="int32") for text in found)
        return Data(train, test, {"tokenizer": tokenizer.spec()})

    def optimizers(self, model: Model, steps: int) -> tuple[list[Any], list[Any]]:
        """AdamW for matrices and one without decay for the rest, Muon if it is wanted, and the schedule of each."""
        weights = matrices(model)
        hidden = without(weights, _outer(model)) if self.muon_lr else []
        groups = (without(weights, hidden), self.weight_decay), (without(model.parameters(), weights), 0.0)
        made: list[Any] = [optim.AdamW(group, self.lr, 0.9, self.beta2, weight_decay=decay) for group, decay in groups]
        warmup = min(self.warmup, steps)
        schedules = [optim.CosineSchedule(each, steps, warmup, self.final_lr) for each in made]
        if hidden:
            made.append(optim.Muon(hidden, self.muon_lr, weight_decay=self.weight_decay))
            final = self.muon_lr * self.final_lr / self.lr
            schedules.append(optim.CosineSchedule(made[-1], steps, warmup, final))
        return made, schedules

    def losses(self, model: Model, ids: numpy.ndarray) -> Iterator[tuple[float, int]]:
        """(mean loss, number of tokens it is the mean of) for parts of `ids` that together cover them."""
        raise NotImplementedError

    def evaluate(self, model: Model, data: Data) -> dict[str, float]:
        """`loss`: the mean of -log p(token) over the test text, in nats. `perplexity`: its exponential.

        Of byte pairs also `bits_per_byte`, which does not depend on the vocabulary.
        """
        parts = list(self.losses(model, data.test))
        loss = sum(mean * count for mean, count in parts) / sum(count for _, count in parts)
        metrics = {"loss": loss, "perplexity": math.exp(loss)}
        if self.tokens != "bpe":
            return metrics
        length = len(model.tokenizer.decode(data.test.tolist()).encode())  # type: ignore[attr-defined]
        return metrics | {"bits_per_byte": loss * len(data.test) / math.log(2) / length}

    def sample(self, model: Model, folder: Path, epoch: int) -> None:
        """Write samples/epoch-NNN.txt: what follows a line's end, at temperature 0.8."""
        target = folder / "samples" / f"epoch-{epoch:03}.txt"
        target.parent.mkdir(exist_ok=True)
        with atomic_write(target) as file:
            file.write(model.generate("\n", self.written, temperature=0.8, seed=epoch).encode())  # type: ignore[attr-defined]

    def show(self, model: Model, data: Data, folder: Path) -> dict[str, Any]:
        """`samples`: what follows a line's end, drawn with two seeds that were not chosen."""
        settings: dict[str, Any] = {"prompt": "\n", "max_tokens": self.written, "temperature": 0.8}
        return {
            "samples": [
                {**settings, "seed": seed, "text": model.generate(**settings, seed=seed)}  # type: ignore[attr-defined]
                for seed in (0, 1)
            ]
        }


@dataclass(frozen=True)
class WindowRecipe(LanguageRecipe):
    """Shuffled windows of the model's context that start every `stride` tokens: for models that take them at once."""

    stride: int = 64

    def loader(self, data: Data, model: Any, seed: int, workers: int = 0) -> DataLoader:
        windows = TextDataset(data.train, model.context, self.stride)
        options: dict[str, Any] = {"drop_last": True, "workers": workers, "device": model.device}
        return DataLoader(windows, self.batch, shuffle=True, seed=seed, **options)

    def step(self, model: Model, steps: int) -> Step:
        return TrainStep(model, next_token_loss, *self.optimizers(model, steps), clip_norm=self.clip)

    def losses(self, model: Any, ids: numpy.ndarray) -> Iterator[tuple[float, int]]:
        for x, y in DataLoader(TextDataset(ids, model.context), self.batch, device=model.device):
            yield float(next_token_loss(model(x), y).numpy().item()), math.prod(y.shape)


@dataclass(frozen=True)
class ColumnRecipe(LanguageRecipe):
    """Columns of contiguous text, `rows` tokens of each at a time, the state carried from each batch to the next."""

    rows: int = 64

    def loader(self, data: Data, model: Any, seed: int, workers: int = 0) -> TextColumns:
        return TextColumns(data.train, self.batch, self.rows, model.device)

    def step(self, model: Model, steps: int) -> Step:
        return CarryingStep(model, next_token_loss, *self.optimizers(model, steps), clip_norm=self.clip)

    def losses(self, model: Any, ids: numpy.ndarray) -> Iterator[tuple[float, int]]:
        state = None
        for x, y in TextColumns(ids, min(self.batch, len(ids) // 2), self.rows, model.device):
            logits, state = model.run(x, state)
            state = tuple(part.detach() for part in state)
            yield float(next_token_loss(logits, y).numpy().item()), math.prod(y.shape)


class CarryingStep(TrainStep):
    """A step whose model goes on from the state in which the batch before has left it; the gradient ends there."""

    carried: tuple[ndl.Tensor, ...] | None = None  # the recurrent state between two batches

    def loss(self, *batch: Any) -> ndl.Tensor:
        """The loss of (ids (T, B), targets (T B,)), read from the carried state on."""
        ids, targets = batch
        model: Any = self.model
        logits, state = model.run(ids, self.carried)
        self.carried = tuple(part.detach() for part in state)
        return next_token_loss(logits, targets)

    def eval(self) -> None:
        """An epoch is over: the next begins where the columns do, with no state."""
        super().eval()
        self.carried = None

    def _arrays(self) -> State:
        return copies((f"carried.{i}", part) for i, part in enumerate(self.carried or ()))

    def _restore(self, numbers: dict[str, Any], arrays: Mapping[str, Any]) -> None:
        carried = sorted(name for name in arrays if name.startswith("carried."))
        super()._restore(numbers, {name: array for name, array in arrays.items() if name not in carried})
        self.carried = tuple(ndl.Tensor(arrays[name], requires_grad=False) for name in carried) or None


def _outer(model: Model) -> list[Any]:
    """The parameters of the first and the last layer: embeddings, and the head where it has weights of its own."""
    ends = [module for _, module in model.named_modules() if isinstance(module, nn.Embedding)]
    head = getattr(model, "head", None)
    return [parameter for end in [*ends, head] if end is not None for parameter in end.parameters()]
