"""One training step: forward, loss, backward, clip, update, schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy

from ..autograd import Tensor
from ..errors import NeedleError
from ..nn import Module
from ..optim import Optimizer

State = dict[str, numpy.ndarray]


class TrainStep:
    """`step(*inputs, target)` makes one update on loss_fn(model(*inputs), target); {"loss": its value before it, ...}.

    `optimizer` and `schedule` may be one each or sequences of them, stepped in order. A subclass that overrides
    `loss(*batch)` trains on anything else. `state_dict` holds all that the next step depends on, as numpy arrays.
    """

    def __init__(
        self,
        model: Module,
        loss_fn: Callable[[Any, Any], Tensor],
        optimizer: Optimizer | Sequence[Optimizer],
        schedule: Any = None,
    ) -> None:
        self.model = model
        self.loss_fn = loss_fn
        self.optimizers = [optimizer] if isinstance(optimizer, Optimizer) else list(optimizer)
        self.schedules = list(schedule) if isinstance(schedule, list | tuple) else [schedule] if schedule else []

    def loss(self, *batch: Any) -> Tensor:
        """The loss of one batch, whose last field is the target: a Tensor of one element."""
        *inputs, target = batch
        return self.loss_fn(self.model(*inputs), target)

    def __call__(self, *batch: Any) -> dict[str, float]:
        loss = self.loss(*batch)
        value = loss.numpy()
        if value.size != 1:
            raise NeedleError(f"[TrainStep] the loss must be one number, got shape {value.shape}: take its mean")
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
        for schedule in self.schedules:
            schedule.step()
        return {"loss": float(value.item())}

    def train(self) -> None:
        """The model behaves as during training."""
        self.model.train()

    def eval(self) -> None:
        """The model behaves as after training."""
        self.model.eval()

    def _parts(self) -> dict[str, Any]:
        """What has a state of its own, by the prefix of its names."""
        parts: dict[str, Any] = {"model": self.model}
        parts |= {f"optimizer{i}": optimizer for i, optimizer in enumerate(self.optimizers)}
        return parts | {f"schedule{i}": schedule for i, schedule in enumerate(self.schedules)}

    def state_dict(self) -> State:
        """Copies of everything that the next step depends on: model, optimizers, schedules."""
        return {
            f"{prefix}.{name}": array
            for prefix, part in self._parts().items()
            for name, array in part.state_dict().items()
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict` was taken. Raises NeedleError when it is the state of another step."""
        parts = self._parts()
        states: dict[str, State] = {prefix: {} for prefix in parts}
        for key, array in state.items():
            prefix, _, name = key.partition(".")
            if prefix not in parts:
                raise NeedleError(f"[TrainStep] the state has {key!r}, this step has only {', '.join(parts)}")
            states[prefix][name] = array
        for prefix, part in parts.items():
            part.load_state_dict(states[prefix])
