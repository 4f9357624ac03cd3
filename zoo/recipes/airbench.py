"""How airnet is trained: Muon on weights of fixed norm, Nesterov's momentum on the rest, an alternating flip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from needle import optim
from needle.data.transforms import AlternatingFlip, RandomCrop

from .base import Data, matrices
from .classification import Classification
from .images import image_spec, normalized

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
        model.net.whitening.fit(normalized(data.train.pixels[:WHITENED], image_spec(model)))

    def augment(self, spec: dict[str, Any]) -> list[Any]:
        return [RandomCrop(self.crop, "reflect"), AlternatingFlip(), *super().augment(spec)]

    def optimizers(self, model: Any, steps: int) -> tuple[list[optim.Optimizer], list[optim.Schedule]]:
        *convs, head = matrices(model)
        biases = [parameter for name, parameter in model.named_parameters() if name.endswith("bias")]
        made: list[optim.Optimizer] = [optim.Muon(convs, self.muon_lr, self.muon_momentum, normalized=True)]
        for parameters, lr in ((biases, self.bias_lr), ([head], self.head_lr)):
            made.append(optim.NesterovSGD(parameters, lr, self.momentum, weight_decay=self.shrink / lr))
        return made, [optim.LinearSchedule(each, steps) for each in made]
