"""What a recipe is: settings, which go onto the card, and the answers to what training asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy

from needle import Tensor, nn
from needle.errors import NeedleError

from ..base import Model


class Data(NamedTuple):
    """What a recipe trains on and measures on; `config` is what the model's builder must know of it.

    `config` (such as a vocabulary) is plain JSON data, for it travels with the weights.
    """

    train: Any
    test: Any
    config: Mapping[str, Any] = {}


class Step(Protocol):
    """One update of a model on one batch, with a state: what `needle.fit` runs."""

    def __call__(self, *batch: Any) -> dict[str, float]:
        """The losses, by name, of the update just made."""
        ...

    def state_dict(self) -> dict[str, numpy.ndarray]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True)
class Recipe:
    """How a model is trained. The fields of a family's subclass are its settings, all of them plain data.

    Raises NeedleError where training needs a method that the subclass does not define.
    """

    epochs: int = 1
    batch: int = 1
    dataset: str = ""

    meanings: ClassVar[Mapping[str, str]] = {}  # what the metrics are, for the card

    def data(self, folder: str | None = None) -> Data:
        """The data set, from `folder`, from NEEDLE_DATA or downloaded. Raises DataError if it cannot be had."""
        raise self._lacks("data")

    def generated(self) -> Data:
        """A little made-up data of the same kind, always the same: enough to see a loss fall in seconds."""
        raise self._lacks("generated")

    def prepare(self, model: Model, data: Data) -> None:
        """Give the model what it takes from the training data before its first step."""

    def loader(self, data: Data, model: Model, seed: int, workers: int = 0) -> Any:
        """Batches for the step: a `needle.data.DataLoader`, or what has its `set_epoch` and `state_dict`."""
        raise self._lacks("loader")

    def step(self, model: Model, steps: int) -> Step:
        """What makes one of `steps` updates."""
        raise self._lacks("step")

    def evaluate(self, model: Model, data: Data) -> dict[str, float]:
        """The model's metrics on `data.test`: the numbers on its card. May be empty."""
        return {}

    def sample(self, model: Model, folder: Path, epoch: int) -> None:
        """Write into `folder` what the model makes after `epoch` epochs, where there is something to look at."""

    def show(self, model: Model, data: Data, folder: Path) -> dict[str, Any]:
        """What there is to look at of a trained model, as plain data for its card; pictures are written to `folder`.

        Its names are those that the card knows: "confusion", "samples", "sheet", "nearest".
        """
        return {}

    def _lacks(self, method: str) -> NeedleError:
        made_up = ", without which there is no tiny training" if method == "generated" else ""
        return NeedleError(f"[{type(self).__name__}] a recipe must define {method}(){made_up}")


def matrices(model: nn.Module) -> list[Tensor]:
    """The weights: the parameters with more than one axis longer than 1, for a bias may be (1, n)."""
    return [parameter for parameter in model.parameters() if sum(size > 1 for size in parameter.shape) > 1]


def without(parameters: Iterable[Tensor], taken: Iterable[Tensor]) -> list[Tensor]:
    """Those of the parameters that are not taken, in their order."""
    gone = set(taken)
    return [parameter for parameter in parameters if parameter not in gone]
