"""Train a model by its recipe: logged, sampled, resumable to the same bytes, recorded in the package if wanted.

A run is a function of its seed and its recipe, and one that was interrupted goes on from its last checkpoint as if it
had not been.
"""

from __future__ import annotations

import csv
import json
import subprocess
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy

from needle.weights import read_safetensors, save_safetensors

from .card import shown
from .recipe import Recipe, Step
from .registry import HERE, Entry, Model, Run, ZooError


def train(
    entry: Entry,
    seed: int,
    *,
    data: str | None = None,
    folder: str = "runs",
    record: bool = False,
    epochs: int | None = None,
    tiny: bool = False,
    workers: int = 0,
) -> Run:
    """Train one model with one seed; checkpoints, log.csv, samples and weights go to `folder`/NAME-seedN.

    A run that was interrupted is resumed. `tiny` is the smallest configuration on generated data. With `record`, the
    weights and metrics are put into the package. Raises ZooError when a checkpoint belongs to another recipe, or a tiny
    run is to be recorded, DataError when the training data cannot be found.
    """
    if tiny and record:
        raise ZooError("[train] the weights of a tiny run are not worth recording: leave out --tiny or --record")
    commit = _commit()  # now: the tree may have moved on when the run ends
    recipe = replace(entry.recipe, **(entry.tiny.recipe if tiny else {}))
    recipe = recipe if epochs is None else replace(recipe, epochs=epochs)
    home = Path(folder) / f"{entry.name}{'-tiny' if tiny else ''}-seed{seed}"
    home.mkdir(parents=True, exist_ok=True)
    sets = recipe.generated() if tiny else recipe.data(data)
    config = {**(entry.tiny.model if tiny else {}), **sets.config}
    numpy.random.seed(seed)
    model = entry.build(**config)
    loader = recipe.loader(sets, model, seed, workers)
    step = recipe.step(model, recipe.epochs * len(loader))
    seconds = _fit(entry.name, model, recipe, step, loader, home, seed)
    model.eval()
    metrics = recipe.evaluate(model, sets)
    weights = f"{entry.name}-{'tiny' if tiny else recipe.dataset.replace('-', '')}-seed{seed}.safetensors"
    target = HERE / "weights" if record else home
    target.mkdir(exist_ok=True)
    facts = {"model": entry.name, "seed": str(seed)} | ({"config": json.dumps(config)} if config else {})
    sha256 = save_safetensors(target / weights, model.state_dict(), facts)
    run = Run(seed, weights, sha256, metrics, round(seconds, 1), commit)
    (home / "run.json").write_text(json.dumps(asdict(run), indent=1) + "\n")
    print(*(f"{metric} {shown(metric, value)}" for metric, value in metrics.items()), target / weights, sep="\n")
    if record:
        _record(entry, run)
    return run


def _fit(name: str, model: Model, recipe: Recipe, step: Step, loader: Any, home: Path, seed: int) -> float:
    """Run the epochs; the seconds they took."""
    start, seconds = _resume(step, home, recipe)
    for epoch in range(start, recipe.epochs):
        began = time.monotonic()
        model.train()
        loader.set_epoch(epoch)
        losses = [step(*batch)["loss"] for batch in loader]
        seconds += time.monotonic() - began
        loss = float(numpy.mean(losses))
        _log(home, epoch + 1, loss, seconds)
        done = f"epoch {epoch + 1}/{recipe.epochs}"
        print(f"{name} seed {seed} {done} loss {loss:.4f} {seconds:.0f} s", flush=True)
        if (epoch + 1) % 5 == 0 or epoch + 1 == recipe.epochs:
            _save(step, home, recipe, epoch + 1, seconds)
        recipe.sample(model, home, epoch + 1)
    return seconds


def _save(step: Step, home: Path, recipe: Recipe, epoch: int, seconds: float) -> None:
    facts = {"recipe": json.dumps(asdict(recipe)), "epoch": str(epoch), "seconds": str(seconds)}
    save_safetensors(home / "checkpoint.safetensors", step.state_dict(), facts)


def _resume(step: Step, home: Path, recipe: Recipe) -> tuple[int, float]:
    """(epochs done, seconds spent) of the checkpoint in `home`, restored into `step`; (0, 0.0) without one."""
    path, log = home / "checkpoint.safetensors", home / "log.csv"
    if not path.exists():
        log.write_text("epoch,loss,seconds\n")
        return 0, 0.0
    arrays, facts = read_safetensors(path)
    if facts.get("recipe") != json.dumps(asdict(recipe)):
        raise ZooError(f"[train] {path} was made by another recipe; move it away to start anew")
    step.load_state_dict(arrays)
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[: 1 + int(facts["epoch"])]))  # epochs after the checkpoint are run again
    return int(facts["epoch"]), float(facts["seconds"])


def _log(home: Path, epoch: int, loss: float, seconds: float) -> None:
    with open(home / "log.csv", "a", newline="") as file:
        csv.writer(file).writerow([epoch, f"{loss:.6f}", f"{seconds:.1f}"])


def _record(entry: Entry, run: Run) -> None:
    """Put the run among the recorded ones, in the place of an earlier one of its seed."""
    path = HERE / "cards" / f"{entry.name}.json"
    runs = sorted([*(r for r in entry.runs if r.seed != run.seed), run], key=lambda r: r.seed)
    path.parent.mkdir(exist_ok=True)
    facts = {"recipe": asdict(entry.recipe), "runs": [asdict(r) for r in runs]}
    path.write_text(json.dumps(facts, indent=1) + "\n")


def _commit() -> str:
    """The commit of the source tree, with "-dirty" where files differ from it, or "unknown" outside one."""
    try:
        describe = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        found = subprocess.run(describe, cwd=HERE, capture_output=True, text=True)
    except OSError:
        return "unknown"
    return found.stdout.strip() if found.returncode == 0 else "unknown"
