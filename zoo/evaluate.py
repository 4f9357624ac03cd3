"""Recompute the numbers on a model's card."""

from __future__ import annotations

import numpy

from .card import shown
from .registry import Entry, ZooError, load

DRIFT = 0.0005  # what another processor's rounding may change: of accuracy, five images of ten thousand


def evaluate(entry: Entry, data: str | None = None) -> bool:
    """Print each recorded run's metrics beside what its weights give now; True if none drifted by more than DRIFT.

    The drift of a metric above 1 is relative. Raises ZooError when the model was not trained yet, DataError when the
    test data cannot be found.
    """
    if not entry.runs:
        raise ZooError(f"[evaluate] {entry.name} has no recorded runs: needle-zoo train {entry.name} --record")
    test = entry.recipe.data(data)
    now = {run.seed: entry.recipe.evaluate(load(entry.name, True, seed=run.seed), test) for run in entry.runs}
    steady = True
    for run in entry.runs:
        for metric, recorded in run.metrics.items():
            found = now[run.seed][metric]
            same = abs(found - recorded) <= DRIFT * max(1.0, abs(recorded))
            steady &= same
            verdict = "" if same else "  DRIFTED"
            both = f"recorded {shown(metric, recorded):>8}  now {shown(metric, found):>8}"
            print(f"seed {run.seed}  {metric:<14} {both}{verdict}")
    for metric in entry.measured:
        values = [result[metric] for result in now.values()]
        spread = f"standard deviation {shown(metric, float(numpy.std(values)))}"
        print(f"mean    {metric:<14} {shown(metric, float(numpy.mean(values)))} over {len(values)} seeds, {spread}")
    return steady
