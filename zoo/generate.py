"""Text from a language model: how the next token is drawn, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy

from needle.errors import NeedleError


class GenerationError(NeedleError, ValueError):
    """What was asked of a language model's `generate` makes no sense."""


class Reader(Protocol):
    """What reads tokens in order and remembers what matters for the next one."""

    def read(self, ids: Sequence[int]) -> numpy.ndarray:
        """The logits (vocabulary,) of the token that follows all that was read so far, `ids` (at least one) last."""
        ...


@dataclass(frozen=True)
class Sampling:
    """p = softmax(logits / temperature), cut to the `top_k` largest, then to the fewest whose sum reaches `top_p`.

    Temperature 0 takes the most probable token, of several the first. Raises GenerationError for a temperature that is
    negative or not finite, top_k below 1 or top_p outside (0, 1].
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise GenerationError(f"[generate] temperature must be 0 or a positive number, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise GenerationError(f"[generate] top_k must be at least 1, or None for all tokens, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise GenerationError(f"[generate] top_p must be in (0, 1], or None, got {self.top_p}")

    def probabilities(self, logits: numpy.ndarray) -> numpy.ndarray:
        """The distributions (..., vocabulary) that the next tokens are drawn from, in float64."""
        logits = logits.astype("float64")
        if self.temperature == 0:
            best: numpy.ndarray = numpy.arange(logits.shape[-1]) == logits.argmax(axis=-1, keepdims=True)
            return best.astype("float64")
        p: numpy.ndarray = numpy.exp((logits - logits.max(axis=-1, keepdims=True)) / self.temperature)
        if self.top_k is None and self.top_p is None:
            p /= p.sum(axis=-1, keepdims=True)
            return p
        order = numpy.argsort(-p, axis=-1, kind="stable")
        if self.top_k is not None:
            numpy.put_along_axis(p, order[..., self.top_k :], 0, axis=-1)
        p /= p.sum(axis=-1, keepdims=True)
        if self.top_p is not None:
            falling = numpy.take_along_axis(p, order, axis=-1)
            before = numpy.cumsum(falling, axis=-1) - falling  # the sum of all that are more probable
            falling[before >= self.top_p] = 0
            numpy.put_along_axis(p, order, falling, axis=-1)
            p /= p.sum(axis=-1, keepdims=True)
        return p

    def draw(self, logits: numpy.ndarray, rng: numpy.random.Generator) -> int:
        """A token for logits (vocabulary,)."""
        return self.draw_each(logits[None], [rng])[0]

    def draw_each(self, logits: numpy.ndarray, rngs: Sequence[numpy.random.Generator]) -> list[int]:
        """A token for each row of logits (rows, vocabulary), the one that it has alone.

        Every draw takes one number of its row's generator, at temperature 0 too.
        """
        total = numpy.cumsum(self.probabilities(logits), axis=-1)
        drawn = numpy.array([[rng.random()] for rng in rngs]) * total[:, -1:]
        found: list[int] = (total <= drawn).sum(axis=-1).tolist()
        return found


def tokens(reader: Reader, ids: Sequence[int], count: int, sampling: Sampling, seed: int) -> Iterator[int]:
    """`count` tokens that follow `ids`, each drawn given all before it; the same for the same seed."""
    rng = numpy.random.default_rng(seed)
    for _ in range(count):
        token = sampling.draw(reader.read(ids), rng)
        yield token
        ids = [token]


class Ending:
    """Text that comes piece by piece, up to the first place where it holds one of `stop`; `ended` says that it did."""

    def __init__(self, stop: Sequence[str]) -> None:
        self.stop, self.ended = stop, False
        self._held = ""

    def feed(self, piece: str) -> str:
        """What is certain of the text with one more piece, and was not given before."""
        self._held += piece
        found = [place for place in (self._held.find(each) for each in self.stop) if place >= 0]
        if found:
            self.ended = True
            self._held = self._held[: min(found)]
            return self.rest()
        certain = len(self._held) - max((_overlap(self._held, each) for each in self.stop), default=0)
        text, self._held = self._held[:certain], self._held[certain:]
        return text

    def rest(self) -> str:
        """What was not certain, once no more pieces come."""
        text, self._held = self._held, ""
        return text


def until(pieces: Iterable[str], stop: Sequence[str]) -> Iterator[str]:
    """The pieces up to the first place where their joined text holds one of `stop`, as soon as they are certain."""
    ending = Ending(stop)
    for piece in pieces:
        text = ending.feed(piece)
        if text:
            yield text
        if ending.ended:
            return
    if rest := ending.rest():
        yield rest


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that `stop` begins with."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if stop.startswith(text[-n:])), 0)
