"""The models of the zoo by name: one record each, and `load`."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

from deploy.card import Image
from needle import Tensor, nn
from needle.errors import NeedleError
from needle.weights import load_safetensors

HERE = Path(__file__).resolve().parent


class ZooError(NeedleError, LookupError):
    """The zoo has no such model, weights or card."""


class Model(nn.Module):
    """A module that carries its card and owns its preprocessing."""

    card: dict[str, Any]

    def predict(self, given: Any, top: int | None = None) -> list[tuple[str, float]]:
        """(label, probability) pairs for what the model is about, the most probable first; the best `top` if given."""
        raise NotImplementedError

    def example(self, batch: int = 1) -> Tensor:
        """An input of the right shape, all zeros: what `deploy.freeze` traces the model with."""
        raise NotImplementedError


@dataclass(frozen=True)
class Measured:
    """A number on a card, and the command that recomputes it: one without the other cannot be constructed."""

    value: float
    std: float
    seeds: int
    by: str


@dataclass(frozen=True)
class Run:
    """One training run as it was recorded: its seed, metrics, duration and the weights it left."""

    seed: int
    weights: str
    sha256: str
    metrics: dict[str, float]
    seconds: float
    commit: str


@dataclass(frozen=True)
class Entry:
    """One model: how to build it, what it was trained on, by which recipe, and what it must not be used for."""

    name: str
    build: Callable[..., Model]
    task: str
    data: str
    input: Image
    labels: tuple[str, ...]
    recipe: Any
    licence: str
    limits: str

    @property
    def runs(self) -> tuple[Run, ...]:
        """The recorded training runs, from cards/NAME.json; empty for a model that was not trained yet."""
        path = HERE / "cards" / f"{self.name}.json"
        if not path.exists():
            return ()
        return tuple(Run(**run) for run in json.loads(path.read_text())["runs"])

    @property
    def measured(self) -> dict[str, Measured]:
        """Each metric's mean and standard deviation over the recorded runs."""
        runs = self.runs
        by = f"needle-zoo evaluate {self.name}"
        return {
            metric: Measured(float(numpy.mean(values)), float(numpy.std(values)), len(runs), by)
            for metric in (runs[0].metrics if runs else {})
            for values in [[run.metrics[metric] for run in runs]]
        }

    def card(self) -> dict[str, Any]:
        """The facts that travel with a model: plain data."""
        return {
            "name": self.name, "task": self.task, "data": self.data, "input": self.input.spec(),
            "labels": list(self.labels), "licence": self.licence, "limits": self.limits,
            "measured": {metric: vars(number) for metric, number in self.measured.items()},
        }  # fmt: skip


_entries: dict[str, Entry] = {}


def model(**record: Any) -> Callable[[Callable[..., Model]], Callable[..., Model]]:
    """Register the decorated builder under its name, with the other fields of its `Entry`."""

    def register(build: Callable[..., Model]) -> Callable[..., Model]:
        _entries[build.__name__] = Entry(name=build.__name__, build=build, **record)
        return build

    return register


def names() -> list[str]:
    """The names that `load` knows, sorted."""
    return sorted(_entries)


def entry(name: str) -> Entry:
    """The record of one model. Raises ZooError for an unknown name."""
    if name not in _entries:
        raise ZooError(f"[zoo] there is no model {name!r}; there are {', '.join(names())}")
    return _entries[name]


def load(name: str, pretrained: bool = False, *, seed: int | None = None, **config: Any) -> Model:
    """The model `name`; with `pretrained` in evaluation mode with trained weights from inside the package.

    `seed` chooses among the recorded training runs (default: the first). The other arguments go to the model's builder.
    Works offline and leaves numpy's global generator as it was when `pretrained`. Raises ZooError for an unknown name
    or seed, DataError if the weights are not the published ones.
    """
    record = entry(name)
    if not pretrained:
        return record.build(**config)
    run = _run(record, seed)
    arrays = load_safetensors(HERE / "weights" / run.weights, sha256=run.sha256)
    with _generator_kept():
        built = record.build(**config)
    built.load_state_dict(arrays)
    built.eval()
    return built


def _run(record: Entry, seed: int | None) -> Run:
    runs = record.runs
    if not runs:
        raise ZooError(f"[zoo] {record.name} has no trained weights; train it with: needle-zoo train {record.name}")
    for run in runs:
        if seed is None or run.seed == seed:
            return run
    raise ZooError(f"[zoo] {record.name} has no run of seed {seed}; there are {[run.seed for run in runs]}")


@contextmanager
def _generator_kept() -> Any:
    """Building a model draws its initial weights; draws that are thrown away must not shift the user's."""
    state = numpy.random.get_state()
    try:
        yield
    finally:
        numpy.random.set_state(state)
