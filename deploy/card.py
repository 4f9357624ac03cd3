"""The card that travels with a graph: what the input is, how to prepare it, what the outputs mean. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import NdFormatError

MAX_LABELS = 100_000


@dataclass(frozen=True)
class Image:
    """An image input: RGB or grey pixels scaled to [0, 1], then (x - mean) / std per channel, in (C, H, W) order."""

    channels: int
    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def spec(self) -> dict[str, Any]:
        """This record as plain data: the `input` entry of a card."""
        return {
            "kind": "image", "channels": self.channels, "height": self.height, "width": self.width,
            "mean": list(self.mean), "std": list(self.std),
        }  # fmt: skip

    def __str__(self) -> str:
        size = f"{self.channels} x {self.height} x {self.width}"
        return f"image {size}, (pixels / 255 - mean) / std with mean {list(self.mean)}, std {list(self.std)}"


def check_card(card: Any) -> dict[str, Any]:
    """The card, once its `input` and `labels`, if it has them, are what their readers need. Raises NdFormatError."""
    if not isinstance(card, dict):
        raise NdFormatError(f"[nd] card.json model: needs an object, got {type(card).__name__}")
    image_of(card)
    labels_of(card)
    return card


def labels_of(card: Mapping[str, Any]) -> tuple[str, ...]:
    """The name of each class; empty if the card has none. Raises NdFormatError if they are not strings."""
    labels = card.get("labels", ())
    if not isinstance(labels, list | tuple) or len(labels) > MAX_LABELS or not all(isinstance(x, str) for x in labels):
        raise NdFormatError(f"[nd] card.json labels: needs a list of at most {MAX_LABELS} strings")
    return tuple(labels)


def image_of(card: Mapping[str, Any]) -> Image | None:
    """How to turn an image into the model's input; None if the input is not an image. Raises NdFormatError."""
    entry = card.get("input")
    if not isinstance(entry, Mapping) or entry.get("kind") != "image":
        return None
    channels, height, width = (entry.get(x) for x in ("channels", "height", "width"))
    if channels not in (1, 3) or not all(isinstance(x, int) and 1 <= x <= 65536 for x in (height, width)):
        raise NdFormatError(f"[nd] card.json input: needs 1 or 3 channels, a height and a width, got {dict(entry)!r}")
    given = [entry.get(x) for x in ("mean", "std")]
    mean, std = (tuple(x) if isinstance(x, list | tuple) else () for x in given)
    numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in (*mean, *std))
    if len(mean) != channels or len(std) != channels or not numbers or not all(x > 0 for x in std):
        raise NdFormatError(f"[nd] card.json input: needs {channels} means and positive stds, got {mean} and {std}")
    return Image(int(channels), int(height or 0), int(width or 0), mean, std)
