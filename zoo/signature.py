"""What models take and give: records whose `spec()` is an entry of the model's card, as `deploy.card.Image` is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class Spec(Protocol):
    """An input or an output: plain data for the card, and words for people."""

    def spec(self) -> dict[str, Any]:
        """This record as plain data; `kind` says which one it is."""
        ...

    def __str__(self) -> str: ...


@dataclass(frozen=True)
class Labels:
    """One logit for each of the named classes."""

    names: tuple[str, ...]

    def spec(self) -> dict[str, Any]:
        return {"kind": "labels", "count": len(self.names)}

    def __str__(self) -> str:
        return f"label, one of {', '.join(self.names)}"


@dataclass(frozen=True)
class Text:
    """Text as ids of a `vocabulary` of characters, words or BPE tokens; at most `context` of them at once, or any."""

    tokens: str
    vocabulary: int
    context: int | None = None

    def spec(self) -> dict[str, Any]:
        return {"kind": "text", "tokens": self.tokens, "vocabulary": self.vocabulary, "context": self.context}

    def __str__(self) -> str:
        most = f", at most {self.context} at once" if self.context else ""
        return f"text in {self.tokens}, {self.vocabulary} different ones{most}"


@dataclass(frozen=True)
class Latent:
    """A vector of `size` independent draws from N(0, 1)."""

    size: int

    def spec(self) -> dict[str, Any]:
        return {"kind": "latent", "size": self.size}

    def __str__(self) -> str:
        return f"latent vector of {self.size} draws from N(0, 1)"


TRACED = 16  # how many ids of a text without bound a model is traced with


def shape_of(spec: Mapping[str, Any]) -> tuple[int, ...] | None:
    """The axes, after that of the batch, of the input that a card's entry `spec` describes; None if it does not say."""
    match spec:
        case {"kind": "image", "channels": int(channels), "height": int(height), "width": int(width)}:
            return channels, height, width
        case {"kind": "text", "context": int() | None as context}:
            return (context or TRACED,)
        case {"kind": "latent", "size": int(size)}:
            return (size,)
    return None
