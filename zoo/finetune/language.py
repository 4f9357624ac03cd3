"""Language models learn a text, or what is to follow prompts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy

import needle as ndl
from needle import nn, ops
from needle.data import DataLoader, NDArrayDataset
from needle.types import Type

from ..language_model import LanguageModel
from .config import Config
from .task import Task, correct, no_head, path_of, sites
from .texts import IGNORED, Examples, read_examples, read_held

SAMPLE: dict[str, Any] = {"max_tokens": 120, "temperature": 0.8, "seed": 0}
PROMPTS = 3  # held-out prompts whose completions are shown


class LanguageTask(Task):
    """The loss is the mean of -log p(token) over the tokens that are learned from: of rows, those of completions."""

    model: LanguageModel

    def __init__(self, config: Config, model: LanguageModel) -> None:
        super().__init__(config, model)
        read = (model.tokenizer, model.context)
        own = config.validation_data is None
        share = config.validation if own else 0.0
        self.learn, self.measured = read_examples(path_of(config.data), *read, share, config.seed)
        if config.validation_data is not None:
            self.measured = read_held(path_of(config.validation_data), *read)

    def targets(self) -> list[str]:
        return sites(self.model, set())

    def head(self) -> str:
        if not isinstance(getattr(self.model, "head", None), nn.Linear):
            raise no_head(self.model)
        return "head"

    def loader(self, batch: int) -> DataLoader:
        return DataLoader(NDArrayDataset(self.learn.x, self.learn.y), batch, shuffle=True, seed=self.config.seed)

    def loss(self, logits: ndl.Tensor, targets: ndl.Tensor) -> ndl.Tensor:
        return cross_entropy(logits, targets)

    def counted(self, *batch: Any) -> int:
        return int((batch[1].numpy() != IGNORED).sum())

    def input(self, batch: int) -> Type:
        return Type((batch, self.learn.x.shape[1]), "int32")

    def evaluate(self, most: int | None = None) -> dict[str, float]:
        if self.measured is None:
            return {}
        return measured(self.model, self.measured, most)

    def show(self) -> dict[str, Any]:
        """A sample that begins a line; of rows, the most probable answers to held-out prompts."""
        pairs = self.measured.pairs if self.measured is not None else ()
        if not pairs:
            return {"prompt": "\n", **SAMPLE, "sample": self.model.generate("\n", **SAMPLE)}
        answers = [
            {"prompt": prompt, "completion": meant, "answer": self._answer(prompt, meant)}
            for prompt, meant in pairs[:PROMPTS]
        ]
        return {"temperature": 0.0, "answers": answers}

    def _answer(self, prompt: str, meant: str) -> str:
        length = len(self.model.tokenizer.encode(meant))
        return self.model.generate(prompt or "\n", length, temperature=0.0)

    def arrays(self) -> Mapping[str, numpy.ndarray]:
        found = {"x": self.learn.x, "y": self.learn.y}
        return found if self.measured is None else found | {"held x": self.measured.x, "held y": self.measured.y}


def cross_entropy(logits: ndl.Tensor, targets: ndl.Tensor, reduction: str = "mean") -> ndl.Tensor:
    """-log p(target) over the places whose target is not IGNORED; logits (B, T, vocabulary), targets (B, T)."""
    places = math.prod(targets.shape)
    rows, labels = ops.reshape(logits, (places, logits.shape[-1])), ops.reshape(targets, (places,))
    return ops.cross_entropy(rows, labels, ignore_index=IGNORED, reduction=reduction)


def measured(model: LanguageModel, examples: Examples, most: int | None = None, batch: int = 8) -> dict[str, float]:
    """`loss` in nats for a token, `bits_per_byte`, which no vocabulary changes, and `token_accuracy`, the fraction of
    tokens that were the most probable ones. With `most`, of the first so many rows: then without `bits_per_byte`.
    """
    rows = len(examples) if most is None else min(most, len(examples))
    total, right, count = 0.0, 0, 0
    for start in range(0, rows, batch):
        x, y = (array[start : min(rows, start + batch)] for array in (examples.x, examples.y))
        logits = model(ndl.Tensor(x, device=model.device, requires_grad=False))
        targets = ndl.Tensor(y, device=model.device, requires_grad=False)
        total += float(cross_entropy(logits, targets, "sum").numpy().item())
        right += correct(logits, y)  # IGNORED is no class
        count += int((y != IGNORED).sum())
    found = {"loss": total / count, "token_accuracy": right / count}
    return found if most is not None else found | {"bits_per_byte": total / math.log(2) / examples.bytes}
