"""Small bases and data for the tests of fine-tuning, and a run in a process of its own: `python ... FOLDER CONFIG`.

The process prints the sha256 of what the run leaves; with KILL_AT=n in the environment it dies in the place of step n.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

import zoo
from needle.errors import NeedleError
from needle.weights import save_safetensors
from zoo.finetune import Config, Job
from zoo.finetune.step import FineTuning

KEPT = ("checkpoint.safetensors", "log.csv", "plan.json", "result.json", "loss.svg")
WORDS = (["a bird", "my cat", "the dog"], ["slept", "sat", "ran"], ["by us", "on me", "in it"])


def weights(name: str, folder: Path, **config: Any) -> str:
    """A file of weights as `needle-zoo train` writes them, of the smallest model as it was drawn: enough of a base."""
    np.random.seed(0)
    built = {**zoo.entry(name).tiny.model, **config}
    path = folder / f"{name}.safetensors"
    facts = {"model": name, "config": json.dumps(built)}
    save_safetensors(path, zoo.load(name, **built).state_dict(), facts)
    return str(path)


def text(lines: int = 100, order: tuple[int, int, int] = (1, 2, 0)) -> str:
    """Sentences of the same words; the base has learned them in another order."""
    rng = np.random.default_rng(1)
    return "".join(" ".join(WORDS[i][rng.integers(3)] for i in order) + "\n" for _ in range(lines))


def rows(count: int = 40) -> str:
    """Prompts that say who, completions that say where: the same for the same."""
    who, _, where = WORDS
    found = [{"prompt": f"{who[i % 3]} ", "completion": f"{where[i % 3]}\n"} for i in range(count)]
    return "".join(json.dumps(row) + "\n" for row in found)


def picture(label: int, seed: int, turned: bool = False) -> np.ndarray:
    """uint8 (32, 32, 3): on noise, a bright column, or row, whose place says the class."""
    pixels = np.random.default_rng([seed, label]).integers(0, 90, (32, 32, 3), dtype="uint8")
    pixels[:, 4 + 10 * label : 9 + 10 * label] += 150
    return np.ascontiguousarray(pixels.transpose(1, 0, 2)) if turned else pixels


def png(pixels: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


CLASSES = ("left", "middle", "right")


def image_folder(home: Path, each: int = 12, classes: tuple[str, ...] = CLASSES, turned: bool = False) -> Path:
    for label, name in enumerate(classes):
        (home / name).mkdir(parents=True)
        for seed in range(each):
            (home / name / f"{seed:02}.png").write_bytes(png(picture(label, seed, turned)))
    return home


def bases(home: Path) -> dict[str, str]:
    """Small models by name, trained for a second: one on sentences, one on rows in images."""
    characters = "".join(sorted(set(text() + rows())))
    language = {"tokenizer": {"kind": "characters", "vocabulary": characters}}
    (home / "base.txt").write_text(text(order=(0, 1, 2)))
    photos = str(image_folder(home / "rows", classes=("top", "half", "bottom"), turned=True))
    common: dict[str, Any] = {"method": "full", "pretrained": False, "learning_rate": 0.01, "validation": 0.0}
    configs = [
        Config("gpt-char", str(home / "base.txt"), weights("gpt-char", home, **language), epochs=8, batch=32, **common),
        Config("resnet20", photos, weights("resnet20", home), epochs=20, batch=12, flip=0.0, crop=1, **common),
    ]
    found = {config.base: Job(config, home / config.base).run() for config in configs}
    return {name: result.path for name, result in found.items() if result is not None}


def image_rows(each: int = 12) -> str:
    found = [
        {"image": base64.b64encode(png(picture(label, seed))).decode(), "label": name}
        for label, name in enumerate(CLASSES)
        for seed in range(each)
    ]
    return "".join(json.dumps(row) + "\n" for row in found)


def dying(at: int) -> None:
    """Let this process be killed in the place of step number `at` of the run; the probe's steps do not count."""
    step, count = FineTuning.__call__, iter(range(1, 10**9))

    def killed(self: Any, *batch: Any) -> dict[str, float]:
        if self.best is not None and next(count) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, *batch)

    FineTuning.__call__ = killed  # type: ignore[method-assign]


def digests(folder: Path) -> dict[str, str]:
    """The sha256 of all that a run leaves but its times."""
    files = [folder / name for name in KEPT] + sorted((folder / "adapter").iterdir())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


if __name__ == "__main__":
    if "KILL_AT" in os.environ:
        dying(int(os.environ["KILL_AT"]))
    try:
        Job(Config.parse(json.loads(sys.argv[2])), sys.argv[1]).run()
    except NeedleError as error:
        sys.exit(str(error))
    print(json.dumps(digests(Path(sys.argv[1]))))
