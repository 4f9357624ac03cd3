"""Train a model by its recipe: logged, sampled, resumable to the same bytes, recorded in the package if wanted.

A run is a function of its seed and its recipe, and one that was interrupted goes on from its last checkpoint as if it
had not been.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy

from needle.optim.settings import whole
from needle.training import fit
from needle.training.progress import times
from needle.weights import save_safetensors

from .base import Model
from .card import shown
from .recipes.base import Recipe
from .record import record as record_run
from .record import same_settings
from .registry import HERE, Entry, ZooError
from .runs import Run, write_json
from .seeds import check_seed


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
    save_every: int | None = None,
    save_minutes: float | None = 5,
) -> Run:
    """Train one model with one seed; log, plot, samples, checkpoint and weights go to `folder`/NAME-seedN.

    A run that was interrupted goes on from its checkpoint, written after each epoch or every `save_every` steps, when
    the last is `save_minutes` old, and on SIGINT and SIGTERM. `tiny` is the smallest configuration on generated data.
    With `record`, the run is then recorded in the package, or beside the file that registered the model.
    Raises ZooError when a tiny run is to be recorded or a folder cannot be made, SettingError for epochs or a seed that
    are none, NeedleError when a checkpoint belongs to another recipe or another process trains in the same folder,
    DataError when the training data cannot be found.
    """
    check_seed("train", seed)
    if epochs is not None:
        whole("train", epochs=epochs)
    if tiny and record:
        raise ZooError("[train] the weights of a tiny run are not worth recording: leave out --tiny or --record")
    commit = _commit()  # now: the tree may have moved on when the run ends
    recipe = entry.recipe_for(tiny)
    recipe = recipe if epochs is None else replace(recipe, epochs=epochs)
    if record:
        same_settings(entry, asdict(recipe), seed)
    home = Path(folder) / f"{entry.name}{'-tiny' if tiny else ''}-seed{seed}"
    _make(home)
    title = f"{entry.name} seed {seed}"
    print(f"{title}: {'generated data' if tiny else recipe.dataset or 'data of its own'}, into {home}", flush=True)
    sets = recipe.generated() if tiny else recipe.data(data)
    config = {**(entry.tiny.model if tiny else {}), **sets.config}
    numpy.random.seed(seed)
    model = entry.make(**config)
    recipe.prepare(model, sets)
    loader = recipe.loader(sets, model, seed, workers)
    step = recipe.step(model, recipe.epochs * len(loader))
    fit(
        step, loader, recipe.epochs, folder=home, title=title, save_every=save_every, save_minutes=save_minutes,
        config={"model": entry.name, "seed": seed, "recipe": asdict(recipe), "built with": config},
        evaluate=lambda: recipe.evaluate(model, sets), on_epoch=lambda epoch: recipe.sample(model, home, epoch),
    )  # fmt: skip
    model.eval()
    metrics = recipe.evaluate(model, sets)
    path = home / f"{entry.name}-{'tiny' if tiny else recipe.dataset.replace('-', '')}-seed{seed}.safetensors"
    command = f"needle-zoo train {entry.name} --seeds {seed}" + ("" if epochs is None else f" --epochs {epochs}")
    sha256 = _save(path, entry, model, seed, config)
    run = Run(seed, path.name, sha256, metrics, _seconds(home), commit, command, machine())
    _write_run(home, run, recipe, tiny)
    if record:
        run = record_run(entry, home, data=data)
    _say_end(title, entry, model, metrics, path, tiny)
    return run


def _write_run(home: Path, run: Run, recipe: Recipe, tiny: bool) -> None:
    """What `needle-zoo record` reads; the log lies beside it."""
    about = {key: value for key, value in asdict(run).items() if key not in ("log", "shipped")}
    write_json(home / "run.json", {**about, "recipe": asdict(recipe), "tiny": tiny})


def _say_end(title: str, entry: Entry, model: Model, metrics: dict[str, float], weights: Path, tiny: bool) -> None:
    numbers = [f"{metric} {shown(metric, value)}" for metric, value in metrics.items()]
    print(f"{title}:", ", ".join([*numbers, str(weights)]))
    print("Next:", *next_commands(entry, model, weights, tiny), sep="\n    ", flush=True)


def next_commands(entry: Entry, model: Model, weights: Path, tiny: bool) -> list[str]:
    """The command lines that use the weights, ready to be copied."""
    plugin = f" --plugin {shlex.quote(str(entry.source))}" if entry.source else ""
    words = {"name": entry.name, "weights": shlex.quote(str(weights)), "tiny": " --tiny" if tiny else ""}
    return [command.format(**words, plugin=plugin) for command in model.commands]


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror
        raise ZooError(f"[train] {folder} cannot be made: {reason}; name another with --folder") from None


def _save(path: Path, entry: Entry, model: Model, seed: int, config: dict[str, Any]) -> str:
    """Write the weights, with what `load` must know to build the model; the sha256 of the file."""
    _make(path.parent)
    facts = {"model": entry.name, "seed": str(seed)} | ({"config": json.dumps(config)} if config else {})
    return save_safetensors(path, model.state_dict(), facts)


def _seconds(home: Path) -> float:
    """What the epochs took, evaluation included: of each the last row, so one that was run again counts once."""
    return round(sum({epoch: seconds for epoch, seconds, _ in times(home)}.values()), 1)


def machine() -> str:
    """On what this runs: how many processors it may use, and which."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    kind = platform.processor() or platform.machine()
    with suppress(OSError):
        named = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        kind = named[0].partition(":")[2].strip() if named else kind
    return f"{count} x {kind}"


def _commit() -> str:
    """The commit of the source tree, with "-dirty" where files differ from it, or "unknown" outside one."""
    try:
        describe = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        found = subprocess.run(describe, cwd=HERE, capture_output=True, text=True)
    except OSError:
        return "unknown"
    return found.stdout.strip() if found.returncode == 0 else "unknown"
