"""One training step: forward, loss, backward, clip, update, schedule.

    step = TrainStep(model, nn.SoftmaxLoss(), optim.Adam(model.parameters(), lr=1e-3))
    for x, y in loader:
        print(step(x, y)["loss"])

`needle.fit` (loop.py) is this loop with a log, checkpoints and resuming.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import reprs
from ..autograd import Tensor
from ..errors import NeedleError, SettingError
from ..grad_mode import no_grad
from ..nn import Module
from ..optim import GradientAccumulator, Optimizer, WeightAverage, clip_grad_norm
from ..optim.stateful import State, Stateful
from .partial import check_held, module_states


class TrainStep(Stateful):
    """`step(*inputs, target)` is one update on loss_fn(model(*inputs), target); {"loss": its value before it, ...}.

    A loss that is not finite is returned without an update, and `fit` stops there. Gradients are clipped to the norm
    `clip_norm` where it is given ("grad_norm" joins the metrics); a norm that is not finite raises NeedleError before
    any parameter is changed. With `accumulate=n` every call is a micro-batch, and every n-th makes an update with the
    mean of the n gradients: that of one large batch, where the loss is a mean and the micro-batches are of one size.
    `optimizer` and `schedule` may be one each or lists of them, stepped in order. `average` (a WeightAverage) takes in
    the weights after each update. The state has the tensors of the model and of a loss that is a Module; of frozen
    parameters the sha256. A subclass that overrides `loss(*batch)` trains on anything else.
    """

    settings: tuple[str, ...] = ("clip_norm",)

    def __init__(
        self, model: Module, loss_fn: Callable[[Any, Any], Tensor], optimizer: Optimizer | Sequence[Optimizer],
        schedule: Any = None, clip_norm: float | None = None, accumulate: int = 1, average: WeightAverage | None = None,
    ) -> None:  # fmt: skip
        if accumulate < 1:
            raise SettingError(f"[TrainStep] accumulate must be at least 1, got {accumulate}")
        self.model, self.loss_fn = model, loss_fn
        self.optimizers = [optimizer] if isinstance(optimizer, Optimizer) else list(optimizer)
        self.schedules = list(schedule) if isinstance(schedule, list | tuple) else [schedule] if schedule else []
        self.clip_norm, self.accumulate, self.average = clip_norm, accumulate, average
        self.sums = GradientAccumulator(param for each in self.optimizers for param in each.params)

    def __repr__(self) -> str:
        held = vars(self)
        names = [type(held[part]).__name__ for part in ("model", "loss_fn") if isinstance(held.get(part), Module)]
        shown = map(repr, [*held.get("optimizers", ()), *held.get("schedules", ())])
        return reprs.call(self, [*names, *(text.partition("  # ")[0] for text in shown), *reprs.settings(self)])

    def loss(self, *batch: Any) -> Tensor:
        """The loss of one batch, whose last field is the target: a Tensor of one element."""
        *inputs, target = batch
        return self.loss_fn(self.model(*inputs), target)

    def __call__(self, *batch: Any) -> dict[str, float]:
        if self.sums.weight + 1 >= self.accumulate:
            for schedule in self.schedules:
                schedule.check()
        for optimizer in self.optimizers:
            optimizer.reset_grad()
        loss = self.loss(*batch)
        value = loss.numpy()
        if value.size != 1:
            raise NeedleError(f"[TrainStep] the loss must be one number, got shape {value.shape}: take its mean")
        metrics = {"loss": float(value.item())}
        if not math.isfinite(metrics["loss"]):
            return metrics
        with no_grad():  # nobody differentiates these gradients: what made them need not be kept
            loss.backward(keep_graph=False)
        if self.accumulate > 1:
            self.sums.add()
            if self.sums.weight < self.accumulate:
                return metrics
            self.sums.assign()
        return metrics | self._update()

    def _update(self) -> dict[str, float]:
        """Step the optimizers and schedules; the rate and, where they are clipped, the norm of the gradients."""
        metrics = {"lr": self.optimizers[0].lr} if self.schedules else {}
        if self.clip_norm is not None:
            metrics["grad_norm"] = clip_grad_norm(self.sums.params, self.clip_norm)
        for optimizer in self.optimizers:
            optimizer.step()
        for schedule in self.schedules:
            schedule.step()
        if self.average is not None:
            self.average.update()
        return metrics

    def train(self, mode: bool = True) -> None:
        """Model and loss behave as during training or, with mode False, as after it."""
        for module in (self.model, self.loss_fn):
            if isinstance(module, Module):
                module.train(mode)

    def eval(self) -> None:
        """Model and loss behave as after training."""
        TrainStep.train(self, False)

    def state_dict(self) -> State:
        """All that the next step depends on. Raises NeedleError for a parameter that is in neither model nor loss."""
        check_held(self._parts(), self.sums.params)
        return super().state_dict()

    def _parts(self) -> dict[str, Any]:
        parts: dict[str, Any] = module_states(self.model, self.loss_fn)
        parts |= {f"optimizer{i}": optimizer for i, optimizer in enumerate(self.optimizers)}
        parts |= {f"schedule{i}": schedule for i, schedule in enumerate(self.schedules)}  # after their optimizers
        parts |= {"average": self.average} if self.average is not None else {}
        return parts | ({"sums": self.sums} if self.accumulate > 1 else {})

    def _restore(self, numbers: dict[str, Any], arrays: Mapping[str, Any]) -> None:
        if "clip_norm" in numbers:
            numbers["clip_norm"] = numbers["clip_norm"] or None  # 0 in a state: no clipping
        super()._restore(numbers, arrays)
