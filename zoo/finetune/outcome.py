"""What a run leaves for `zoo.load`: an adapter's folder, or a file of weights, each whole or not at all."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from needle.errors import DataError
from needle.nn import lora
from needle.weights import save_safetensors

from ..adapted import CARD
from ..runs import write_json
from .prepare import builder
from .task import Task

ADAPTER, WEIGHTS = "adapter", "model.safetensors"


def write_outcome(folder: Path, task: Task, card: dict[str, Any]) -> tuple[Path, str, str]:
    """Write what the model has learned; the path, the argument of `zoo.load` that takes it, and its weights' sha256.

    `card` is what whoever loads it may want to know: it lies in the adapter's folder as `card.json`, or in the file's
    metadata. Numbers that differ between two runs of the same config have no place in it.
    """
    config = task.config
    if config.method == "lora":
        home = folder / ADAPTER
        lora.save(task.model, home, base=config.base)
        write_json(home / CARD, card)
        return home, "adapter", _sha256(home / "adapter_model.safetensors")
    folder.mkdir(parents=True, exist_ok=True)
    facts = builder(config) | {"card": json.dumps(card)}
    facts |= {"labels": json.dumps(card["labels"])} if "labels" in card else {}
    return folder / WEIGHTS, "weights", save_safetensors(folder / WEIGHTS, task.model.state_dict(), facts)


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"[finetune] {path} cannot be read: {error.strerror}") from None
