"""Recompute the numbers on a model's card, and measure weights of one's own."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

import numpy

from .card import shown
from .registry import Entry, ZooError, load

DRIFT = 0.0005  # what another processor's rounding may change: of accuracy, five images of ten thousand


@dataclass(frozen=True)
class Comparison:
    """One metric of one recorded run: as it was recorded, and what its weights give now."""

    seed: int
    metric: str
    recorded: float
    now: float

    @property
    def drifted(self) -> bool:
        """Whether they differ by more than DRIFT, relative to the recorded value where that is above 1."""
        return not abs(self.now - self.recorded) <= DRIFT * max(1.0, abs(self.recorded))

    def __str__(self) -> str:
        both = f"recorded {shown(self.metric, self.recorded):>8}  now {shown(self.metric, self.now):>8}"
        return f"seed {self.seed}  {self.metric:<14} {both}{'  DRIFTED' if self.drifted else ''}"


@dataclass(frozen=True)
class Evaluation:
    """Every metric of every recorded run, recomputed."""

    rows: tuple[Comparison, ...]

    @property
    def steady(self) -> bool:
        """Whether nothing drifted."""
        return not any(row.drifted for row in self.rows)

    def means(self) -> dict[str, tuple[float, float, int]]:
        """Each metric's mean, standard deviation and number of seeds, as they are now."""
        columns: dict[str, list[float]] = {}
        for row in self.rows:
            columns.setdefault(row.metric, []).append(row.now)
        return {name: (float(numpy.mean(x)), float(numpy.std(x)), len(x)) for name, x in columns.items()}

    def facts(self) -> dict[str, Any]:
        """All of it as plain data."""
        runs = [asdict(row) | {"drifted": row.drifted} for row in self.rows]
        means = {metric: {"mean": mean, "std": std, "seeds": n} for metric, (mean, std, n) in self.means().items()}
        return {"steady": self.steady, "runs": runs, "means": means}

    def text(self) -> str:
        """All of it in lines."""
        lines = [str(row) for row in self.rows]
        for metric, (mean, std, seeds) in self.means().items():
            spread = f"standard deviation {shown(metric, std)}"
            lines.append(f"mean    {metric:<14} {shown(metric, mean)} over {seeds} seeds, {spread}")
        return "\n".join(lines)


def evaluate(entry: Entry, data: str | None = None) -> Evaluation:
    """Each recorded run's metrics beside what its weights give now on the test data.

    Raises ZooError when the model was not trained yet, DataError when the test data cannot be found.
    """
    if not entry.runs:
        raise ZooError(
            f"[evaluate] {entry.name} has no recorded runs: needle-zoo train {entry.name} --record; --weights measures "
            "a file"
        )
    test = entry.recipe.data(data)
    now = {run.seed: entry.recipe.evaluate(load(entry.name, True, seed=run.seed), test) for run in entry.runs}
    return Evaluation(
        tuple(
            Comparison(run.seed, metric, recorded, now[run.seed][metric])
            for run in entry.runs
            for metric, recorded in run.metrics.items()
        )
    )


def measure(
    entry: Entry, weights: str | os.PathLike[str], *, data: str | None = None, tiny: bool = False
) -> dict[str, float]:
    """The metrics of the weights in a file on the test data, or with `tiny` on the generated data.

    Raises ZooError for weights of another model, DataError when the test data cannot be found.
    """
    recipe = entry.recipe_for(tiny)
    return recipe.evaluate(load(entry.name, weights=weights), recipe.generated() if tiny else recipe.data(data))
