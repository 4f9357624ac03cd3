"""Put a finished run among the recorded ones: measured again, its weights as float16 into the package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy

from needle.weights import read_safetensors, save_safetensors

from .base import Model
from .evaluate import compared, test_data
from .recipes.base import Data
from .registry import Entry, ZooError, load_file
from .runs import Record, Run, Shipped, write_record

KEYS = ("seed", "weights", "sha256", "metrics", "seconds", "commit")  # that every run.json has


@dataclass(frozen=True)
class Finished:
    """What a training has left in its folder: the run, the settings it had, and the file of its weights."""

    run: Run
    recipe: dict[str, Any]
    weights: Path


def finished(entry: Entry, folder: Path) -> Finished:
    """Read run.json and log.csv in the folder of a run. Raises ZooError where it is not a finished run of the model."""
    path = folder / "run.json"
    if not path.is_file():
        advice = f"needle-zoo train {entry.name} --folder {folder.parent}"
        raise ZooError(f"[record] {folder} holds no run.json, so no run has ended there; {advice} goes on to the end")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        lacks = [key for key in KEYS if key not in facts]
        if lacks:
            raise ZooError(f"[record] {path} lacks {', '.join(lacks)}: it is not what `needle-zoo train` writes")
        recipe, tiny = facts.pop("recipe", asdict(entry.recipe)), facts.pop("tiny", False)
        facts.setdefault("command", f"needle-zoo train {entry.name} --seeds {facts['seed']}")
        run = Run.parse({**facts, "log": read_log(folder / "log.csv")})
    except (ValueError, TypeError, AttributeError) as error:
        raise ZooError(f"[record] {path} is not what `needle-zoo train` writes: {error}") from None
    if tiny:
        raise ZooError(f"[record] {folder} is a tiny run: its weights are not worth recording")
    return Finished(run, recipe, folder / Path(run.weights).name)


def read_log(path: Path) -> dict[str, list[float | None]]:
    """The columns of a log that `needle.fit` has written, None where a row lacks a number.

    Raises ZooError where there is no such file, ValueError where it holds no numbers.
    """
    try:
        lines = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise ZooError(f"[record] {path} cannot be read: {error.strerror}") from None
    names, rows = (lines[0], lines[1:]) if lines else ([], [])
    return {name: [number(row[i]) for row in rows] for i, name in enumerate(names)}


def number(text: str) -> float | None:
    """A cell of a log: whole numbers stay whole."""
    return None if not text else int(text) if text.isdigit() else float(text)


def record(entry: Entry, folder: Path, *, data: str | None = None, machine: str | None = None) -> Run:
    """Measure the run in `folder` again and put it into cards/NAME.json, in the place of an earlier one of its seed.

    The weights of the first seed that is recorded go into the package, whichever seed turns out best: choosing among
    them by the test data would flatter the number. They are float16 where that changes no metric beyond rounding. What
    they make is shown, also where they themselves are withheld. `machine` says on what it was trained, where the run
    does not. Raises ZooError when the run is not finished, does not give the metrics that it claims, or was trained
    with other settings than those recorded before; DataError when its files or the test data are not there.
    """
    found = finished(entry, folder)
    run = replace(found.run, machine=machine) if machine else found.run
    before = entry.record
    others = tuple(other for other in before.runs if other.seed != run.seed)
    same_settings(entry, found.recipe, run.seed)
    if others and set(others[0].metrics) != set(run.metrics):
        known, given = (", ".join(sorted(metrics)) or "none" for metrics in (others[0].metrics, run.metrics))
        raise ZooError(f"[record] the recorded runs of {entry.name} have the metrics {known}, this one {given}")
    model = load_file(entry, found.weights, run.sha256)
    test = test_data(entry, data)
    for row in compared(run.seed, run.metrics, entry.recipe.evaluate(model, test)):
        if row.drifted:
            raise ZooError(f"[record] {found.weights} does not give what its run says: {row}")
    shown, cards = before.shown, entry.home / "cards"
    cards.mkdir(parents=True, exist_ok=True)
    if entry.withheld and not (others and shown):
        shown = entry.recipe.show(model, test, cards)
    elif not entry.withheld and not any(other.shipped for other in others):
        (entry.home / "weights").mkdir(exist_ok=True)
        arrays, shipped = lightest(entry, found, model, test)
        shown = entry.recipe.show(model, test, cards)
        facts = read_safetensors(found.weights, run.sha256)[1]
        sha256 = save_safetensors(entry.home / "weights" / shipped.file, arrays, facts)
        run = replace(run, shipped=replace(shipped, sha256=sha256))
    runs = tuple(sorted((*others, run), key=lambda each: each.seed))
    write_record(cards / f"{entry.name}.json", Record(found.recipe, runs, shown))
    return run


def lightest(
    entry: Entry, found: Finished, model: Model, test: Data
) -> tuple[dict[str, numpy.ndarray], Shipped]:
    """The run's weights, as float16 where that changes no metric beyond rounding, and what they measure.

    The model is left with them.
    """
    arrays, _ = read_safetensors(found.weights, found.run.sha256)
    file, recorded = found.weights.name, found.run.metrics
    half, why_not = halved(arrays)
    if not why_not:
        model.load_state_dict(half)
        now = entry.recipe.evaluate(model, test)
        drifted = [str(row) for row in compared(found.run.seed, recorded, now) if row.drifted]
        if not drifted:
            return half, Shipped(file, "", "float16", now)
        why_not = f"as float16 it gives other numbers: {'; '.join(drifted)}"
    model.load_state_dict(arrays)
    return arrays, Shipped(file, "", "float32", recorded, why_not)


def halved(arrays: Mapping[str, numpy.ndarray]) -> tuple[dict[str, numpy.ndarray], str]:
    """The arrays, those of float32 as float16; and why that cannot be done, empty where it can."""
    with numpy.errstate(over="ignore"):
        half = {name: a.astype("float16") if a.dtype == "float32" else a for name, a in arrays.items()}
    beyond = [name for name, a in half.items() if a.dtype == "float16" and not numpy.isfinite(a).all()]
    return half, f"float16 does not hold all numbers of {beyond[0]}" if beyond else ""


def same_settings(entry: Entry, recipe: Mapping[str, Any], seed: int) -> None:
    """Runs of one record share their settings, for a mean over different ones means nothing: else raises ZooError."""
    before = entry.record
    if all(run.seed == seed for run in before.runs):
        return
    differ = [f"{key} {value} there, {recipe.get(key)} here" for key, value in before.recipe.items()
              if value != recipe.get(key)]  # fmt: skip
    if differ:
        path = entry.home / "cards" / f"{entry.name}.json"
        raise ZooError(f"[record] the runs in {path} had other settings: {', '.join(differ)}; remove it to begin anew")
