"""Models with an adapter: loaded, merged, and named by what they have learned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from needle.errors import DataError, NeedleError
from needle.nn import lora

from .base import Model
from .heads import relabel
from .image_classifier import ImageClassifier

CARD = "card.json"  # beside PEFT's two files: what whoever loads them must know
CONFIG = "adapter_config.json"
SHIPPED = Path(__file__).resolve().parent / "adapters"  # examples, each in a folder by whose name it is found
MAX_CARD = 1 << 22  # bytes


def shipped_adapters() -> list[str]:
    """The names of the adapters in the package."""
    return sorted(each.name for each in SHIPPED.iterdir() if (each / CONFIG).is_file()) if SHIPPED.is_dir() else []


def adapter_folder(folder: Path) -> Path:
    """The folder with the adapter's files: this one, `adapter` in the folder of a run, or one in the package.

    Raises DataError where there is none.
    """
    found = _found(folder)
    if found is None:
        there = ", ".join(shipped_adapters())
        raise DataError(
            f"[adapter] {folder} holds no adapter: neither it nor its folder adapter has an {CONFIG}"
            + (f"; those in the package are {there}" if there else "")
        )
    return found


def holds_adapter(folder: Path) -> bool:
    """Whether `adapter_folder` finds one."""
    return _found(folder) is not None


def _found(folder: Path) -> Path | None:
    inside = [SHIPPED / folder] if len(folder.parts) == 1 else []
    return next((each for each in (folder, folder / "adapter", *inside) if (each / CONFIG).is_file()), None)


def base_of(folder: Path) -> str:
    """The model of the zoo that an adapter is of. Raises DataError where its card does not say, as PEFT's do not."""
    home = adapter_folder(folder)
    base = read_card(home).get("base")
    if not isinstance(base, str):
        raise DataError(f"[adapter] {home / CARD} must name the model that it is of, {{\"base\": ...}}, got {base!r}")
    return base


def attach(model: Model, folder: Path) -> None:
    """Merge the adapter in a folder into the model, which has the base's weights; its card says what it is now.

    The structure is the base's, unless a head has another number of classes, or an Embedding is adapted. Raises
    DataError for an adapter of another base or malformed files, NeedleError for labels that do not fit.
    """
    home = adapter_folder(folder)
    card = read_card(home)
    lora.load(model, home)
    try:
        lora.merge_and_unload(model)
    except NeedleError:  # of an Embedding that others may use too
        lora.merge(model)
    model.eval()
    labels = card.get("labels")
    if isinstance(model, ImageClassifier) and labels is not None:
        name, outputs = _outputs(model)
        if outputs != len(labels):
            raise NeedleError(f"[adapter] {home} names {len(labels)} labels, its layer {name} has {outputs} outputs")
        relabel(model, labels)
    model.card = {**model.card, "measured": {}, "adapter": card}


def _outputs(model: ImageClassifier) -> tuple[str, int]:
    """The last Linear layer and the number of its outputs: of a merged model, whose card is the base's still."""
    from needle import nn

    found = [(at, module) for at, module in model.named_modules() if isinstance(module, nn.Linear)]
    return found[-1][0], found[-1][1].out_features


def read_card(folder: Path) -> dict[str, Any]:
    """What the adapter's folder says of it, empty where it has no card, as PEFT's have none. Raises DataError."""
    path = folder / CARD
    if not path.exists():
        return {}
    try:
        if path.stat().st_size > MAX_CARD:
            raise DataError(f"[adapter] {path} has more than {MAX_CARD:,} bytes")
        card = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"[adapter] {path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"[adapter] {path} is not JSON: {error}") from None
    labels = card.get("labels", []) if isinstance(card, dict) else None
    if not isinstance(labels, list) or not all(isinstance(each, str) for each in labels):
        raise DataError(f"[adapter] {path} must be an object whose labels, if it has some, are strings")
    found: dict[str, Any] = card
    return found
