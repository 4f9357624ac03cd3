"""Recompute the numbers on models' cards, and measure weights of one's own."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from needle.data.download import MissingDataError, only_here
from needle.errors import NeedleError

from .card import shown
from .recipes.base import Data
from .registry import Entry, ZooError, load_file
from .shelf import lacking

DRIFT = 0.0005  # what another processor's rounding may change: of accuracy, five images of ten thousand
During = Callable[[str], AbstractContextManager[object]]  # what goes on around a measurement, given what that is


@dataclass(frozen=True)
class Comparison:
    """One metric of one file of weights: as it was recorded, and what the weights give now.

    `same_weights` is False for those of another training by the same recipe, such as one at another commit, whose
    kernels round in another order: its number stands beside the recorded one and cannot drift from it.
    """

    seed: int
    metric: str
    recorded: float
    now: float
    same_weights: bool = True

    @property
    def drifted(self) -> bool:
        """Whether the same weights differ by more than DRIFT, relative to the recorded value where that is above 1."""
        return self.same_weights and not abs(self.now - self.recorded) <= DRIFT * max(1.0, abs(self.recorded))

    def __str__(self) -> str:
        both = f"recorded {shown(self.metric, self.recorded):>8}  now {shown(self.metric, self.now):>8}"
        end = "  DRIFTED" if self.drifted else ""
        if not self.same_weights:
            apart = self.now - self.recorded
            end = f"  another training, {'-' if apart < 0 else '+'}{shown(self.metric, abs(apart))}"
        return f"seed {self.seed}  {self.metric:<14} {both}{end}"


def compared(
    seed: int, recorded: dict[str, float], now: dict[str, float], same_weights: bool = True
) -> tuple[Comparison, ...]:
    """Every recorded metric beside its value now; one that is missing now is not a number, and has drifted."""
    found = ((metric, value, now.get(metric, float("nan"))) for metric, value in recorded.items())
    return tuple(Comparison(seed, *each, same_weights) for each in found)


@dataclass(frozen=True)
class Evaluation:
    """Every metric of a model's files of weights, recomputed; or why there was nothing to do, or why it failed."""

    name: str
    rows: tuple[Comparison, ...] = ()
    quoted: tuple[str, ...] = ()
    skipped: str = ""
    failed: str = ""

    @property
    def steady(self) -> bool:
        """Whether nothing failed or drifted."""
        return not self.failed and not any(row.drifted for row in self.rows)

    @property
    def retrained(self) -> bool:
        """Whether weights of another training than the recorded one were measured."""
        return not all(row.same_weights for row in self.rows)

    def facts(self) -> dict[str, Any]:
        """All of it as plain data."""
        runs = [asdict(row) | {"drifted": row.drifted} for row in self.rows]
        return {"name": self.name, "steady": self.steady, "skipped": self.skipped, "failed": self.failed, "runs": runs}

    def text(self) -> str:
        """All of it in lines, each beginning with the model's name."""
        if self.skipped or self.failed:
            return f"{self.name:<14} {'skipped' if self.skipped else 'FAILED'}: {self.skipped or self.failed}"
        rows = [str(row) for row in self.rows] or ["has no metrics; its weights load"]
        return "\n".join(f"{self.name:<14} {line}" for line in [*rows, *self.quoted])


def evaluate(entry: Entry, data: str | None = None, folder: str = "runs", during: During = nullcontext) -> Evaluation:
    """The recorded metrics of each file of weights beside what it gives now on the test data.

    The files are those in the package; for a model that has none there, those that `train` left in `folder`, of the
    recorded training or of another one with its seed. Each is measured inside `during(what)`. Raises ZooError when
    there are none, DataError when the test data are not on this machine or a file of the package is damaged.
    """
    found = list(_files(entry, Path(folder)))
    if not found:
        raise ZooError(f"[evaluate] {why_not(entry)}; --weights measures a file")
    test = test_data(entry, data)
    rows: list[Comparison] = []
    for seed, path, sha256, recorded in found:
        model = load_file(entry, path, sha256 if entry.shipped else None)
        same = bool(entry.shipped) or hashlib.sha256(path.read_bytes()).hexdigest() == sha256
        with during(f"{entry.name} seed {seed}: measuring {path.name}"):
            now = entry.recipe.evaluate(model, test)
        rows += compared(seed, recorded, now, same)
    return Evaluation(entry.name, tuple(rows), quoted=tuple(_quoted(entry)))


def _files(entry: Entry, folder: Path) -> Iterator[tuple[int, Path, str, dict[str, float]]]:
    """(seed, file, the recorded sha256 and metrics) of every file of weights that can be measured."""
    for run, file in entry.shipped:
        yield run.seed, entry.home / "weights" / file.file, file.sha256, file.metrics
    if not entry.shipped:
        for run in entry.runs:
            path = folder / f"{entry.name}-seed{run.seed}" / run.weights
            if path.is_file():
                yield run.seed, path, run.sha256, run.metrics


def _quoted(entry: Entry) -> Iterator[str]:
    """Mean and spread over the recorded runs: quoted, for the weights of most of them are in no package."""
    for metric, number in entry.measured.items():
        if number.seeds > 1:
            spread = f"standard deviation (n - 1) {shown(metric, number.std)}"
            yield f"mean    {metric:<14} recorded {shown(metric, number.mean)} over {number.seeds} seeds, {spread}"


def why_not(entry: Entry) -> str:
    """Why there are no weights to measure, and what would help."""
    if not entry.runs:
        return f"{entry.name} has no recorded runs: needle-zoo train {entry.name} --record"
    return (
        f"{entry.name} has recorded runs whose weights are not published: needle-zoo train {entry.name} makes them; "
        f"--folder names where it left them, in {entry.name}-seed{entry.runs[0].seed}"
    )


def test_data(entry: Entry, folder: str | None) -> Data:
    """The data that a model is measured on, never downloaded. Raises MissingDataError, saying how to get them."""
    try:
        with only_here():
            return entry.recipe.data(folder)
    except MissingDataError as error:
        raise MissingDataError(f"[evaluate] {lacking(error.name)}", error.name) from None


def attempt(entry: Entry, folder: str = "runs") -> Evaluation:
    """`evaluate`, or why the model was skipped (it has no weights, or its data are not here), or why it failed."""
    if not any(_files(entry, Path(folder))):
        return Evaluation(entry.name, skipped=why_not(entry))
    try:
        return evaluate(entry, folder=folder)
    except MissingDataError as error:
        return Evaluation(entry.name, skipped=lacking(error.name))
    except NeedleError as error:
        return Evaluation(entry.name, failed=str(error))


def measure(
    entry: Entry, weights: str | os.PathLike[str], *, data: str | None = None, tiny: bool = False,
    during: During = nullcontext,
) -> dict[str, float]:  # fmt: skip
    """The metrics of the weights in a file on the test data, or with `tiny` on the generated data.

    They are measured inside `during(what)`. Raises ZooError for weights of another model, DataError when the test data
    are not on this machine.
    """
    recipe = entry.recipe_for(tiny)
    model, test = load_file(entry, Path(weights)), recipe.generated() if tiny else test_data(entry, data)
    with during(f"{entry.name}: measuring {Path(weights).name}"):
        return recipe.evaluate(model, test)
