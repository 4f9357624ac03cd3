"""The models of the zoo by name: one record each, and `load`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy

from needle import Tensor, nn
from needle.errors import NeedleError
from needle.weights import read_safetensors

from .recipe import Recipe
from .signature import Labels, Spec

HERE = Path(__file__).resolve().parent


class ZooError(NeedleError, LookupError):
    """The zoo has no such model, weights or card."""


class Model(nn.Module):
    """A module that carries its card and owns what lies between its arrays and the world.

    Each family adds its own way of being used: `ImageClassifier.predict`, `LanguageModel.generate`, `DCGAN.sample`.
    """

    card: dict[str, Any]

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
class Tiny:
    """The family at its smallest: arguments of the builder and settings of the recipe for seconds on generated data."""

    model: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """One model: how to build it, what it takes and gives, by which recipe it is trained, and what it is not for."""

    name: str
    build: Callable[..., Model]
    task: str
    data: str
    input: Spec
    output: Spec
    recipe: Recipe
    tiny: Tiny
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
        labels = {"labels": list(self.output.names)} if isinstance(self.output, Labels) else {}
        return {
            "name": self.name, "task": self.task, "data": self.data, "input": self.input.spec(),
            "output": self.output.spec(), **labels, "licence": self.licence, "limits": self.limits,
            "measured": {metric: vars(number) for metric, number in self.measured.items()},
        }  # fmt: skip


_entries: dict[str, Entry] = {}


def model(*, name: str | None = None, **record: Any) -> Callable[[Callable[..., Model]], Callable[..., Model]]:
    """Register the decorated builder under `name` (default: its own), with the other fields of its `Entry`."""

    def register(build: Callable[..., Model]) -> Callable[..., Model]:
        known = name or build.__name__
        _entries[known] = Entry(name=known, build=build, **record)
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


def load(
    name: str,
    pretrained: bool = False,
    *,
    seed: int | None = None,
    weights: str | os.PathLike[str] | None = None,
    tiny: bool = False,
    **config: Any,
) -> Model:
    """The model `name`: untrained, or in evaluation mode with trained weights.

    `pretrained` takes the weights inside the package, `seed` choosing among the recorded runs (default: the first);
    `weights` is a file that `needle-zoo train` wrote. `tiny` is the smallest configuration. The other arguments go to
    the model's builder. Works offline; with trained weights numpy's global generator stays as it was. Raises ZooError
    for an unknown name or seed, or the weights of another model, DataError if a file is not what was published.
    """
    record = entry(name)
    if tiny:
        config = {**record.tiny.model, **config}
    if weights is not None:
        return _trained(record, Path(weights), None, config)
    if pretrained:
        run = _run(record, seed)
        return _trained(record, HERE / "weights" / run.weights, run.sha256, config)
    return record.build(**config)


def _trained(record: Entry, path: Path, sha256: str | None, config: dict[str, Any]) -> Model:
    """The model in a file of weights, which says with what arguments it was built."""
    arrays, facts = read_safetensors(path, sha256)
    if facts.get("model") != record.name:
        raise ZooError(f"[zoo] {path} holds weights of {facts.get('model')}, not of {record.name}")
    try:
        given = dict(json.loads(facts.get("config", "{}")))
    except (ValueError, TypeError):
        raise ZooError(f"[zoo] {path}: its config is not an object of JSON: {facts['config']!r:.200}") from None
    with _generator_kept():
        built = record.build(**{**given, **config})
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
