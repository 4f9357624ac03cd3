"""One update of what learns, and the best that a run has had so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy

from needle import Tensor, nn, optim
from needle.errors import NeedleError
from needle.optim.stateful import State, Stateful
from needle.training import TrainStep

from .task import Task, correct

ACCURACY = "train_accuracy"

class Best(Stateful):
    """What the model had learned when its loss on what is held out was lowest: part of every checkpoint."""

    counts = ("loss", "step", "stale")

    def __init__(self, task: Task, loss: float) -> None:
        self.task, self.loss, self.step = task, float(loss), 0
        self.stale = 0  # how often the loss has been measured since
        self.state: State = task.learned().state_dict()

    def offer(self, loss: float, step: int) -> bool:
        """Keep what the model has learned if this loss is lower than any before; whether it is."""
        if not loss < self.loss:
            self.stale += 1
            return False
        self.loss, self.step, self.stale, self.state = float(loss), step, 0, self.task.learned().state_dict()
        return True

    def give_back(self) -> None:
        """Let the model be as it was then."""
        self.task.learned().load_state_dict(self.state)

    def _arrays(self) -> State:
        return {f"state/{name}": array for name, array in self.state.items()}

    def _restore(self, numbers: dict[str, Any], arrays: Mapping[str, Any]) -> None:
        state = {name.removeprefix("state/"): numpy.array(array) for name, array in arrays.items()}
        if set(state) != set(self.state):
            raise NeedleError("[finetune] the checkpoint is of a model that learns other tensors: use another folder")
        super()._restore(numbers, {})
        self.state = state


class FineTuning(TrainStep):
    """AdamW on what learns, its rate up to `rate` and down to 0 along a cosine over the `steps`; gradients clipped."""

    counts = ("tokens",)
    tokens = correct = 0

    def __init__(self, task: Task, rate: float, steps: int, best: Best | None = None) -> None:
        config = task.config
        optimizer = optim.AdamW(nn.trainable_parameters(task.model), lr=rate, weight_decay=config.weight_decay)
        schedule = optim.CosineSchedule(optimizer, steps, warmup=min(steps, round(config.warmup * steps)))
        super().__init__(task.model, lambda *_: None, optimizer, schedule, config.clip)  # type: ignore[arg-type]
        self.task, self.best = task, best

    def loss(self, *batch: Any) -> Tensor:
        """The task's."""
        logits = self.model(batch[0])
        self.correct = correct(logits, batch[1].numpy())
        return self.task.loss(logits, batch[1])

    def __call__(self, *batch: Any) -> dict[str, float]:
        """With the fraction of the targets that were the most probable ones, before the update."""
        counted = self.task.counted(*batch)
        self.tokens += counted
        metrics = super().__call__(*batch)
        return metrics | {ACCURACY: self.correct / max(1, counted)}

    def _parts(self) -> dict[str, Any]:
        return super()._parts() | ({} if self.best is None else {"best": self.best})
