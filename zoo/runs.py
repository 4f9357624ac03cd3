"""What is recorded of a model: its training runs, its weights in the package and what they make; one JSON file each."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from needle.errors import DataError
from needle.weights import atomic_write


@dataclass(frozen=True)
class Measured:
    """A number on a card, and the command that recomputes it: one without the other cannot be constructed.

    `value` is what the weights in the package give, the mean where there are none; `mean` is that of all recorded runs,
    one for each of `seeds` seeds, `std` their standard deviation as a sample, with n - 1; 0 of one.
    """

    value: float
    mean: float
    std: float
    seeds: int
    by: str


@dataclass(frozen=True)
class Shipped:
    """A file of weights inside the package: its own metrics, and why it is not float16 where it is not."""

    file: str
    sha256: str
    dtype: str
    metrics: dict[str, float]
    note: str = ""


@dataclass(frozen=True)
class Run:
    """One training run as it was recorded: seed, metrics, duration in seconds, and the file of weights that it left.

    `log` holds the columns of its log, a number for each epoch; `shipped` is what the package has of its weights.
    """

    seed: int
    weights: str
    sha256: str
    metrics: dict[str, float]
    seconds: float
    commit: str
    command: str = "not recorded"
    machine: str = "not recorded"
    log: dict[str, list[float | None]] = field(default_factory=dict)
    shipped: Shipped | None = None

    @classmethod
    def parse(cls, facts: Mapping[str, Any]) -> Run:
        """A run from plain data. Raises TypeError for what is none."""
        shipped = facts.get("shipped")
        if not isinstance(facts["metrics"], dict) or not isinstance(facts["weights"], str):
            raise TypeError("metrics must be numbers by name, weights the name of a file")
        return cls(**{**facts, "shipped": Shipped(**shipped) if shipped else None})


@dataclass(frozen=True)
class Record:
    """All recorded runs of a model, by seed, with the settings that they share.

    `shown` is what the weights in the package make, or where they are withheld those of the first recorded seed, from
    `Recipe.show`: a confusion matrix, samples.
    """

    recipe: dict[str, Any] = field(default_factory=dict)
    runs: tuple[Run, ...] = ()
    shown: dict[str, Any] = field(default_factory=dict)


def read_record(path: Path) -> Record:
    """The record in a file, an empty one where there is no file. Raises DataError if it holds something else."""
    if not path.exists():
        return Record()
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        runs = tuple(Run.parse(run) for run in facts["runs"])
        return Record(dict(facts.get("recipe", {})), runs, dict(facts.get("shown", {})))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"[zoo] {path} is not a record of runs: {error}") from None


def write_record(path: Path, record: Record) -> None:
    """Write the record, whole or not at all."""
    write_json(path, asdict(record))


ROW = re.compile(r"\[\n\s*([^\[\]{}]*?)\n\s*\]")  # a list without lists; strings hold no line ends of their own


def write_json(path: str | os.PathLike[str], facts: Mapping[str, Any]) -> None:
    """Write plain data as JSON for people: indented, lists of numbers in one line."""
    text = json.dumps(facts, indent=1)
    text = ROW.sub(lambda found: "[" + re.sub(r"\n\s*", " ", found[1]) + "]", text)
    with atomic_write(path) as file:
        file.write((text + "\n").encode())
