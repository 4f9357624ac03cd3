"""What every model of the zoo is: a module with a card, that says so when it was not trained."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Mapping
from typing import Any

import numpy

from needle import Tensor, init, nn
from needle.errors import NeedleError

from .signature import shape_of


class UntrainedWarning(UserWarning):
    """A model answers with the weights that it was built with."""


class Model(nn.Module):
    """A module that carries its card and owns what lies between its arrays and the world.

    Each family adds its own way of being used: `ImageClassifier.predict`, `LanguageModel.generate`, `DCGAN.sample`.
    `commands` are the command lines that use its weights, for whoever has just trained it. `card` and `device` are
    given by the registry where the model does not set them; `takes` is what its own arguments say of its input, in the
    words of the card's entry `input`, which they precede.
    """

    card: Mapping[str, Any] = {}
    device: Any = None
    takes: Mapping[str, Any] = {}
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
        """An input of the right shape, all zeros: what `deploy.freeze` traces the model with.

        Raises NeedleError where neither `takes` nor the card says what the input is.
        """
        spec = {**self.card.get("input", {}), **self.takes}
        shape = shape_of(spec)
        if shape is None:
            name = self.card.get("name", type(self).__name__)
            raise NeedleError(f"[{name}] has no shape for an input of kind {spec.get('kind')!r}: define example(batch)")
        return init.zeros(batch, *shape, device=self.device)


def checksum(module: nn.Module) -> int:
    """A number that training changes."""
    found = 0
    for array in module.state_dict().values():
        found = zlib.crc32(numpy.ascontiguousarray(array).tobytes(), found)
    return found
