"""What a run learns: a model with what is new in it, what it learns from, and how well it does on what is held out."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy

from needle import Tensor, nn
from needle.data import DataLoader
from needle.nn import lora
from needle.training.partial import PartialState
from needle.types import Type

from ..base import Model
from ..registry import ZooError
from .config import AUTO, Config


class Task:
    """The kinds of task answer these questions; the rest of a run is the same for all."""

    wanted_steps = 400  # that "auto" epochs come near to
    wanted_batch = 8
    least_batch = 1
    wanted_rank = 16
    learn: Any  # the rows or images that there are to learn from, of each kind its own
    measured: Any  # those that are held out, or None

    def __init__(self, config: Config, model: Model) -> None:
        self.config, self.model = config, model
        self.whole: dict[str, nn.Linear] = {}  # new modules, by the name of those in whose place they are

    @property
    def examples(self) -> int:
        """How many rows or images there are to learn from."""
        return len(self.learn)

    @property
    def held(self) -> int:
        """How many are held out."""
        return 0 if self.measured is None else len(self.measured)

    def targets(self) -> list[str]:
        """The layers that LoRA adapts by default."""
        raise NotImplementedError

    def head(self) -> str:
        """The name of the last layer, which method "head" trains."""
        raise NotImplementedError

    def loader(self, batch: int) -> DataLoader:
        """Shuffled batches of what is learned from, keyed by the config's seed."""
        raise NotImplementedError

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of a batch: of what the model makes of it, beside what it should."""
        raise NotImplementedError

    def counted(self, *batch: Any) -> int:
        """How many targets a batch has: tokens, or images."""
        raise NotImplementedError

    def input(self, batch: int) -> Type:
        """What the model takes of a batch."""
        raise NotImplementedError

    def evaluate(self, most: int | None = None) -> dict[str, float]:
        """`loss` and the rest on what is held out, of at most so many rows of it; empty where nothing is."""
        raise NotImplementedError

    def show(self) -> dict[str, Any]:
        """Something to look at that the model makes now, as plain data."""
        raise NotImplementedError

    def facts(self) -> dict[str, Any]:
        """What whoever loads the result must know, beside the base."""
        return {}

    def arrays(self) -> Mapping[str, numpy.ndarray]:
        """The data, for its hash."""
        raise NotImplementedError

    def sha256(self) -> str:
        """Of the data as the model sees it."""
        found = hashlib.sha256()
        for name, array in sorted(self.arrays().items()):
            found.update(f"{name} {array.dtype} {array.shape}".encode() + numpy.ascontiguousarray(array).tobytes())
        return found.hexdigest()

    def batch(self) -> int:
        """The size of a batch: as asked, else `wanted_batch` where there is data for four of them."""
        if self.config.batch != AUTO:
            return min(int(self.config.batch), self.examples)
        return min(self.wanted_batch, max(self.least_batch, self.examples // 4), self.examples)

    def rounds(self) -> tuple[int, int]:
        """How many times something is measured, and the steps between: as many epochs in all as asked, else from 3 to
        100 of them, near `wanted_steps`.
        """
        batches, epochs = len(self.loader(self.batch())), self.config.epochs
        total = batches * (min(100, max(3, round(self.wanted_steps / batches))) if epochs == AUTO else int(epochs))
        rounds = min(self.config.validations, total) if self.held else 1
        return rounds, math.ceil(total / rounds)

    def steps(self) -> int:
        """The number of steps in all."""
        return math.prod(self.rounds())

    def adapt(self) -> nn.ParameterCount:
        """Prepare the model for the config's method; what learns then. Raises NeedleError where it cannot be done."""
        config, model = self.config, self.model
        if config.method == "lora":
            targets = self.targets() if config.targets == AUTO else list(config.targets)
            return lora.add(
                model, self.rank, self.alpha, targets=targets, dropout=config.dropout, seed=config.seed,
                modules_to_save=self.whole,
            )  # fmt: skip
        nn.replace_modules(model, self.whole)
        return nn.freeze(model, except_=[self.head()]) if config.method == "head" else nn.unfreeze(model)

    @property
    def rank(self) -> int:
        """Of the matrices of LoRA: as asked, else what the kind of task wants."""
        return self.wanted_rank if self.config.rank == AUTO else int(self.config.rank)

    @property
    def alpha(self) -> float:
        """The change that LoRA makes is multiplied by alpha / rank: as asked, else by 2."""
        return 2.0 * self.rank if self.config.alpha == AUTO else float(self.config.alpha)

    def learned(self) -> Any:
        """The state of what may change."""
        return PartialState.of(self.model)


def correct(logits: Tensor, targets: numpy.ndarray) -> int:
    """How many targets (...) were what logits (..., classes) hold to be the most probable."""
    return int((logits.numpy().argmax(axis=-1) == targets).sum())


def sites(model: nn.Module, besides: set[str]) -> list[str]:
    """What LoRA adapts by default: all products with weights, queries, keys and values apart, without embeddings."""
    modules = dict(model.named_modules())
    found = lora.sites(model)
    fused = {site.layer for at, site in found.items() if at != site.layer}
    besides = besides | fused
    return [at for at, site in found.items() if at not in besides and not isinstance(modules[site.layer], nn.Embedding)]


def no_head(model: Model) -> ZooError:
    """That a model has no last layer of its own."""
    name = model.card.get("name", type(model).__name__)
    return ZooError(
        f"[finetune] {name} has no last layer of its own to train: its weights are the embedding's; use lora"
    )


def path_of(name: str) -> Path:
    """A path with the home folder resolved."""
    return Path(name).expanduser()
