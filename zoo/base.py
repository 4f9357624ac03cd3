"""What every model of the zoo is: a module with a card, that says so when it was not trained."""

from __future__ import annotations

import warnings
import zlib
from typing import Any

import numpy

from needle import Tensor, nn


class UntrainedWarning(UserWarning):
    """A model answers with the weights that it was built with."""


class Model(nn.Module):
    """A module that carries its card and owns what lies between its arrays and the world.

    Each family adds its own way of being used: `ImageClassifier.predict`, `LanguageModel.generate`, `DCGAN.sample`.
    `commands` are the command lines that use its weights, for whoever has just trained it.
    """

    card: dict[str, Any]
    commands: tuple[str, ...] = ("needle-zoo evaluate {name} --weights {weights}{tiny}{plugin}",)
    drawn: int | None = None  # the checksum of weights that `load` left untrained, until they are first used

    def warn_if_untrained(self) -> None:
        """Warn, once, when the weights are still those that `load` has drawn."""
        drawn, self.drawn = self.drawn, None
        if drawn is not None and drawn == checksum(self):
            name = self.card.get("name", type(self).__name__)
            advice = f"load it with pretrained=True or weights=FILE, or train it: needle-zoo train {name}"
            warnings.warn(f"[{name}] is untrained, its answers mean nothing; {advice}", UntrainedWarning, stacklevel=3)

    def example(self, batch: int = 1) -> Tensor:
        """An input of the right shape, all zeros: what `deploy.freeze` traces the model with."""
        raise NotImplementedError


def checksum(module: nn.Module) -> int:
    """A number that training changes."""
    found = 0
    for array in module.state_dict().values():
        found = zlib.crc32(numpy.ascontiguousarray(array).tobytes(), found)
    return found
