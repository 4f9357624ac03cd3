"""The models of the zoo by name: one record each, and `load`."""

from __future__ import annotations

import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
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
from .heads import replace_head
from .image_classifier import ImageClassifier
from .recipes.base import Recipe
from .runs import Measured, Record, Run, Shipped, read_record
from .signature import Labels, Spec

HERE = Path(__file__).resolve().parent


class ZooError(NeedleError, LookupError):
    """The zoo has no such model, weights or card."""


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
    `withheld` is why its weights are never in the package, where they are not.
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
    withheld: str = ""
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
    def record(self) -> Record:
        """What is recorded of its training, from cards/NAME.json; empty for a model that was not trained yet."""
        return read_record(self.home / "cards" / f"{self.name}.json")

    @property
    def runs(self) -> tuple[Run, ...]:
        """The recorded training runs."""
        return self.record.runs

    @property
    def shipped(self) -> tuple[tuple[Run, Shipped], ...]:
        """The runs whose weights are in the package, with their files; `load` takes the first."""
        return tuple((run, run.shipped) for run in self.runs if run.shipped)

    @property
    def measured(self) -> dict[str, Measured]:
        """Each metric of the weights in the package, beside its mean and standard deviation over the recorded runs."""
        runs, shipped = self.runs, self.shipped
        by = f"needle-zoo evaluate {self.name}"
        found = {}
        for metric in runs[0].metrics if runs else ():
            values = [run.metrics[metric] for run in runs]
            mean, std = float(numpy.mean(values)), float(numpy.std(values, ddof=1)) if len(values) > 1 else 0.0
            found[metric] = Measured(shipped[0][1].metrics[metric] if shipped else mean, mean, std, len(runs), by)
        return found

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
    adapter: str | os.PathLike[str] | None = None,
    tiny: bool = False,
    **config: Any,
) -> Model:
    """The model `name`: untrained, or in evaluation mode with trained weights.

    `pretrained` takes the weights inside the package, `seed` choosing among those there (default: the first);
    `weights` is a file that `needle-zoo train` or `finetune` wrote. With `adapter`, a folder that `finetune` or the
    library PEFT wrote or the name of one in the package, the weights are W + s A B, in the base's structure. `tiny` is
    the smallest configuration. The other arguments go to the model's builder. Works offline; with trained weights
    numpy's global generator stays as it was. Raises ZooError for an unknown name or seed, or the weights of another
    model, DataError if a file is not what was published.
    """
    record = entry(name)
    if tiny:
        config = {**record.tiny.model, **config}
    if pretrained or weights is not None or adapter is not None:
        built = load_file(record, *weights_of(record, weights, seed), config)
        if adapter is not None:
            from .adapted import attach  # which knows models of all kinds, and they the registry

            attach(built, Path(adapter))
        return built
    built = record.make(**config)
    built.drawn = checksum(built)
    return built


def load_file(record: Entry, path: Path, sha256: str | None = None, config: Mapping[str, Any] | None = None) -> Model:
    """The model in a file of weights, which says with what arguments it was built; those of `config` precede.

    Weights of float16 become the float32 of the model. Raises DataError if the file is malformed or its hash is not
    `sha256`, ZooError if it holds another model, ShapeError if its arrays do not fit.
    """
    arrays, facts = read_safetensors(path, sha256)
    with generator_kept():
        built = build_as(record, path, facts, config)
    built.load_state_dict(arrays)
    built.eval()
    return built


def build_as(record: Entry, path: Path, facts: Mapping[str, str], config: Mapping[str, Any] | None = None) -> Model:
    """The model, untrained, that a file of weights says it is of, with the labels that it names. Raises ZooError."""
    if facts.get("model") != record.name:
        raise ZooError(f"[zoo] {path} holds weights of {facts.get('model')}, not of {record.name}")
    given, labels = (_fact(path, facts, name, kind) for name, kind in (("config", dict), ("labels", list)))
    try:
        built = record.make(**{**given, **(config or {})})
    except TypeError as error:
        raise ZooError(f"[zoo] {path}: {record.name} cannot be built with its config: {error}") from None
    if labels and isinstance(built, ImageClassifier):
        replace_head(built, list(map(str, labels)))
    return built


def _fact(path: Path, facts: Mapping[str, str], name: str, kind: type[Any]) -> Any:
    """An entry of a file's metadata that is JSON of this kind, an empty one where there is none. Raises ZooError."""
    try:
        found = json.loads(facts.get(name, json.dumps(kind())))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, kind):
        what = "an object" if kind is dict else "a list"
        raise ZooError(f"[zoo] {path}: its {name} is not {what} of JSON: {facts[name]!r:.200}")
    return found


def weights_of(
    record: Entry, weights: str | os.PathLike[str] | None = None, seed: int | None = None
) -> tuple[Path, str | None]:
    """The file of trained weights, with its sha256 if it is one of the package. Raises ZooError where there is none."""
    if weights is not None:
        return Path(weights), None
    file = _shipped(record, seed)
    return record.home / "weights" / file.file, file.sha256


def _shipped(record: Entry, seed: int | None) -> Shipped:
    """The file of weights in the package, of that seed or the first."""
    found = record.shipped
    if not found:
        train = f"train it with: needle-zoo train {record.name}"
        never = f": those are never published, as {record.withheld}" if record.withheld else ""
        raise ZooError(f"[zoo] {record.name} has no trained weights{never}; {train}; or name a file: --weights")
    for run, file in found:
        if seed is None or run.seed == seed:
            return file
    raise ZooError(f"[zoo] {record.name} has no weights of seed {seed}; there are {[run.seed for run, _ in found]}")


@contextmanager
def generator_kept() -> Iterator[None]:
    """Numpy's global generator stays as it is: draws that are thrown away must not shift the user's."""
    state = numpy.random.get_state()
    try:
        yield
    finally:
        numpy.random.set_state(state)
