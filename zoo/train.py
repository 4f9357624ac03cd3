"""Train a model by its recipe: augmented batches, logged, resumable to the same bytes.

Every random draw of an epoch comes from a generator keyed by (seed, epoch), so a run is a function of its seed and its
recipe, and one that was interrupted goes on from its last checkpoint as if it had not been.
"""

from __future__ import annotations

import csv
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy

import needle as ndl
from needle import ops, optim
from needle.data import augment
from needle.weights import read_safetensors, save_safetensors

from .datasets import Split, cifar10
from .registry import HERE, Entry, Model, Run, ZooError


@dataclass(frozen=True)
class Recipe:
    """Muon on the matrices, AdamW on the rest; linear warm-up then linear decay; crop and flip; smoothed labels."""

    epochs: int = 60
    batch: int = 256
    muon_lr: float = 0.05
    momentum: float = 0.95
    adam_lr: float = 0.005
    weight_decay: float = 0.5
    warmup: float = 0.1
    label_smoothing: float = 0.1
    crop: int = 3
    crop_padding: str = "reflect"
    flip: float = 0.5


def triangle(progress: float, warmup: float) -> float:
    """The schedule's factor: 0 to 1 over the first `warmup` of the run, then back to 0; `progress` runs from 0 to 1."""
    return progress / warmup if progress < warmup else (1 - progress) / (1 - warmup)


def batches(data: Split, recipe: Recipe, card: dict[str, Any], seed: int, epoch: int) -> Iterator[tuple[Any, Any]]:
    """One epoch of augmented, normalised batches (float32 (n, c, h, w), labels); a last partial batch is left out."""
    rng = numpy.random.default_rng([seed, epoch])
    order = rng.permutation(len(data.labels))
    scale, shift = scale_and_shift(card["input"])
    for start in range(0, len(order) - recipe.batch + 1, recipe.batch):
        chosen = order[start : start + recipe.batch]
        x = augment.training_batch(
            data.pixels, chosen, rng, crop=recipe.crop, mode=recipe.crop_padding, flip=recipe.flip,
            scale=scale, shift=shift,
        )  # fmt: skip
        yield x, data.labels[chosen]


def scale_and_shift(spec: dict[str, Any]) -> tuple[numpy.ndarray, numpy.ndarray]:
    """(pixels / 255 - mean) / std as pixels scale + shift, per channel: two float32 arrays (channels,)."""
    mean, std = (numpy.asarray(spec[key], dtype="float32") for key in ("mean", "std"))
    return 1 / (255 * std), -mean / std


class Trainer:
    """A model and its optimizers as one thing that can be stepped, saved and restored."""

    def __init__(self, model: Model, recipe: Recipe, steps: int) -> None:
        self.model, self.recipe, self.steps, self.done = model, recipe, steps, 0
        matrices, others = split_parameters(model)
        self.muon = optim.Muon(matrices, momentum=recipe.momentum)
        self.adam = optim.AdamW(others, weight_decay=recipe.weight_decay)

    def step(self, x: Any, labels: numpy.ndarray) -> float:
        """One update on one batch; the loss before it."""
        factor = triangle((self.done + 1) / (self.steps + 1), self.recipe.warmup)
        self.muon.lr, self.adam.lr = factor * self.recipe.muon_lr, factor * self.recipe.adam_lr
        self.muon.decay = self.adam.lr * self.recipe.weight_decay
        for optimizer in (self.muon, self.adam):
            optimizer.reset_grad()
        inputs, targets = (ndl.Tensor(a, device=ndl.cpu(), requires_grad=False) for a in (x, labels))
        loss = ops.cross_entropy(self.model(inputs), targets, smoothing=self.recipe.label_smoothing)
        loss.backward()
        for optimizer in (self.muon, self.adam):
            optimizer.step()
        self.done += 1
        return float(loss.numpy().item())

    def state(self) -> dict[str, numpy.ndarray]:
        """Everything that the next step depends on, as named arrays."""
        arrays = {
            f"{part}.{name}": array
            for part in ("model", "muon", "adam")
            for name, array in getattr(self, part).state_dict().items()
        }
        return arrays | {"done": numpy.array(self.done)}

    def restore(self, arrays: dict[str, numpy.ndarray]) -> None:
        """Go on from where `state` was taken."""
        for part in ("model", "muon", "adam"):
            prefix = part + "."
            state = {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
            getattr(self, part).load_state_dict(state)
        self.done = int(arrays["done"])


def split_parameters(model: Model) -> tuple[list[Any], list[Any]]:
    """(matrices, the rest): Muon is for matrices and convolutions between hidden layers, not for the last layer."""
    parameters = model.parameters()
    matrices = [p for p in parameters if sum(size > 1 for size in p.shape) >= 2]
    last = matrices.pop()
    return matrices, [p for p in parameters if p is last or not any(p is m for m in matrices)]


def train(
    entry: Entry,
    seed: int,
    *,
    data: str | None = None,
    folder: str = "runs",
    record: bool = False,
    epochs: int | None = None,
) -> Run:
    """Train one model with one seed; checkpoints, log.csv and weights go to `folder`/NAME-seedN.

    A run that was interrupted is resumed. With `record`, the weights and metrics are put into the package. Raises
    ZooError when the training data cannot be found, or a checkpoint belongs to another recipe.
    """
    commit = _commit()  # now: the tree may have moved on when the run ends
    recipe = entry.recipe if epochs is None else replace(entry.recipe, epochs=epochs)
    home = Path(folder) / f"{entry.name}-seed{seed}"
    home.mkdir(parents=True, exist_ok=True)
    split = cifar10(train=True, folder=data)
    numpy.random.seed(seed)
    model = entry.build()
    per_epoch = len(split.labels) // recipe.batch
    trainer = Trainer(model, recipe, steps=recipe.epochs * per_epoch)
    start, seconds = _resume(trainer, home, recipe)
    for epoch in range(start, recipe.epochs):
        began = time.monotonic()
        model.train()
        losses = [trainer.step(x, y) for x, y in batches(split, recipe, model.card, seed, epoch)]
        seconds += time.monotonic() - began
        loss = float(numpy.mean(losses))
        _log(home, epoch + 1, loss, seconds)
        done = f"epoch {epoch + 1}/{recipe.epochs}"
        print(f"{entry.name} seed {seed} {done} loss {loss:.4f} {seconds:.0f} s", flush=True)
        if (epoch + 1) % 5 == 0 or epoch + 1 == recipe.epochs:
            _save(trainer, home, recipe, epoch + 1, seconds)
    return _finish(entry, model, seed, home, seconds, commit, data, record)


def _save(trainer: Trainer, home: Path, recipe: Recipe, epoch: int, seconds: float) -> None:
    facts = {"recipe": json.dumps(asdict(recipe)), "epoch": str(epoch), "seconds": str(seconds)}
    save_safetensors(home / "checkpoint.safetensors", trainer.state(), facts)


def _resume(trainer: Trainer, home: Path, recipe: Recipe) -> tuple[int, float]:
    """(epochs done, seconds spent) of the checkpoint in `home`, restored into `trainer`; (0, 0.0) without one."""
    path, log = home / "checkpoint.safetensors", home / "log.csv"
    if not path.exists():
        log.write_text("epoch,loss,seconds\n")
        return 0, 0.0
    arrays, facts = read_safetensors(path)
    if facts.get("recipe") != json.dumps(asdict(recipe)):
        raise ZooError(f"[train] {path} was made by another recipe; move it away to start anew")
    trainer.restore(arrays)
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[: 1 + int(facts["epoch"])]))  # epochs after the checkpoint are run again
    return int(facts["epoch"]), float(facts["seconds"])


def _log(home: Path, epoch: int, loss: float, seconds: float) -> None:
    with open(home / "log.csv", "a", newline="") as file:
        csv.writer(file).writerow([epoch, f"{loss:.6f}", f"{seconds:.1f}"])


def _finish(
    entry: Entry, model: Model, seed: int, home: Path, seconds: float, commit: str, data: str | None, record: bool
) -> Run:
    """Measure the weights on the test split and write them down."""
    from .evaluate import metrics  # it needs the registry of finished runs, this module makes them

    model.eval()
    measured = metrics(model, cifar10(train=False, folder=data))
    name = f"{entry.name}-cifar10-seed{seed}.safetensors"
    target = HERE / "weights" if record else home
    target.mkdir(exist_ok=True)
    sha256 = save_safetensors(target / name, model.state_dict(), {"model": entry.name, "seed": str(seed)})
    run = Run(seed, name, sha256, measured, round(seconds, 1), commit)
    (home / "run.json").write_text(json.dumps(asdict(run), indent=1) + "\n")
    print(f"{entry.name} seed {seed}: " + ", ".join(f"{key} {100 * value:.2f} %" for key, value in measured.items()))
    if record:
        path = HERE / "cards" / f"{entry.name}.json"
        runs = sorted([*(r for r in entry.runs if r.seed != seed), run], key=lambda r: r.seed)
        path.parent.mkdir(exist_ok=True)
        facts = {"recipe": asdict(entry.recipe), "runs": [asdict(r) for r in runs]}
        path.write_text(json.dumps(facts, indent=1) + "\n")
    return run


def _commit() -> str:
    """The commit of the source tree, with "-dirty" where files differ from it, or "unknown" outside one."""
    try:
        describe = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        found = subprocess.run(describe, cwd=HERE, capture_output=True, text=True)
    except OSError:
        return "unknown"
    return found.stdout.strip() if found.returncode == 0 else "unknown"
