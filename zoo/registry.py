"""The models of the zoo by name: one record each, and `load`."""

from __future__ import annotations

import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy

from deploy.card import Image
from needle import nn
from needle.errors import NeedleError
from needle.weights import read_safetensors

from .base import Model, checksum
from .image_classifier import ImageClassifier
from .recipes.base import Recipe
from .signature import Labels, Spec

HERE = Path(__file__).resolve().parent


class ZooError(NeedleError, LookupError):
    """The zoo has no such model, weights or card."""


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
    """One model: how to build it, what it takes and gives, by which recipe it is trained, and what it is not for.

    The first five say what is needed. `source` is the user's file that registered it, None for the zoo's own models;
    `home` holds its recorded runs in the folders `weights` and `cards`: the package, or the folder of `source`.
    """

    name: str
    build: Callable[..., nn.Module]
    input: Spec
    output: Spec
    recipe: Recipe
    task: str = ""
    data: str = ""
    tiny: Tiny = Tiny()
    licence: str = "not stated"
    limits: str = "not stated"
    source: Path | None = None
    home: Path = HERE

    def make(self, **config: Any) -> Model:
        """The model, untrained, with its card and device unless the builder has given it others.

        A plain network from images to labels becomes an `ImageClassifier`. Raises ZooError if the builder gives any
        other plain module.
        """
        built, device = self.build(**config), config.get("device")
        if isinstance(built, Model):
            if not built.card:
                built.card = self.card()
            if built.device is None:
                built.device = device
            return built
        if isinstance(built, nn.Module) and isinstance(self.input, Image) and isinstance(self.output, Labels):
            return ImageClassifier(built, self.card(), device)
        raise ZooError(
            f"[{self.name}] the builder must return a zoo.Model, or a module from an Image to Labels, got "
            f"{type(built).__name__}"
        )

    def recipe_for(self, tiny: bool) -> Recipe:
        """The recipe, or that of the smallest configuration."""
        return replace(self.recipe, **(self.tiny.recipe if tiny else {}))

    @property
    def runs(self) -> tuple[Run, ...]:
        """The recorded training runs, from cards/NAME.json; empty for a model that was not trained yet."""
        path = self.home / "cards" / f"{self.name}.json"
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


Builder = TypeVar("Builder", bound=Callable[..., nn.Module])
NAME = re.compile(r"\w[\w.-]*", re.ASCII)
_entries: dict[str, Entry] = {}


def model(
    *, input: Spec, output: Spec, recipe: Recipe, name: str | None = None, **record: Any
) -> Callable[[Builder], Builder]:
    """Register the decorated builder under `name` (default: its own), with the other fields of its `Entry`.

    `task` is by default the first line of the builder's docstring, `data` the recipe's data set. Raises ZooError for a
    name that is no file's name, or that another builder has; the same one may be registered again.
    """

    def register(build: Builder) -> Builder:
        known = name or build.__name__
        if not NAME.fullmatch(known):
            raise ZooError(f"[model] a name is made of letters, digits, '-', '_' and '.', got {known!r}")
        before = _entries.get(known)
        if before is not None and _origin(before.build) != _origin(build):
            whose = before.source or ("the zoo" if before.home == HERE else "this session")
            raise ZooError(f"[model] the name {known!r} belongs to a model of {whose}; take another: name='...'")
        about = (inspect.getdoc(build) or known).partition("\n")[0]
        facts = {"task": about, "data": recipe.dataset or "not stated"} | record
        source, _ = _origin(build)
        if source is None or not source.is_relative_to(HERE):
            facts |= {"source": source, "home": source.parent if source else Path.cwd()}
        _entries[known] = Entry(known, build, input, output, recipe, **facts)
        return build

    return register


def _origin(build: Callable[..., Any]) -> tuple[Path | None, str]:
    """Where a builder was written: its file (None in an interactive session), and its name there."""
    module = sys.modules.get(build.__module__)
    file = getattr(module, "__file__", None)
    return (Path(file).resolve() if file else None), build.__qualname__


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
        return _trained(record, record.home / "weights" / run.weights, run.sha256, config)
    built = record.make(**config)
    built.drawn = checksum(built)
    return built


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
        try:
            built = record.make(**{**given, **config})
        except TypeError as error:
            raise ZooError(f"[zoo] {path}: {record.name} cannot be built with its config: {error}") from None
    built.load_state_dict(arrays)
    built.eval()
    return built


def _run(record: Entry, seed: int | None) -> Run:
    runs = record.runs
    if not runs:
        train = f"needle-zoo train {record.name}"
        raise ZooError(f"[zoo] {record.name} has no trained weights; train it with: {train}; or name a file: --weights")
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
