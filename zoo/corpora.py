"""Text to train on: found on this machine, downloaded, or made up."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy

from needle.data.download import dataset_folder
from needle.data.text import BPETokenizer, CharTokenizer, Tokenizer, WordTokenizer
from needle.errors import DataError

# The characters of Tiny Shakespeare.
SHAKESPEARE = "\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


SHAKESPEARE_DATA = (
    "Tiny Shakespeare (Karpathy 2015), 1.1 million characters of his plays: trained on the first nine tenths, measured "
    "on the last one"
)
SHAKESPEARE_LICENCE = "MIT (code and weights); Shakespeare's text is in the public domain"


class Texts(NamedTuple):
    """The text to train on, and the text to measure on."""

    train: str
    test: str


def texts(name: str, folder: str | Path | None = None) -> Texts:
    """Data set `name`, "tinyshakespeare" or "ptb", from `folder`, from NEEDLE_DATA, or downloaded and checked.

    Tiny Shakespeare is measured on its last tenth, Penn Treebank on its test text. Raises DataError if it is not there
    and cannot be fetched.
    """
    if name not in ("tinyshakespeare", "ptb"):
        raise DataError(f"[corpora] there is no text {name!r}; there are tinyshakespeare, ptb")
    home = Path(folder or dataset_folder(name))
    try:
        if name == "ptb":
            train, test = ((home / f"ptb.{part}.txt").read_text(encoding="utf-8") for part in ("train", "test"))
            return Texts(train, test)
        text = (home / "input.txt").read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"[corpora] {error.filename} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"[corpora] {name} in {home} is not text in UTF-8: byte {error.start}") from None
    cut = len(text) * 9 // 10
    return Texts(text[:cut], text[cut:])


def made_up() -> Texts:
    """Sentences of a few words that follow each other by simple rules."""
    rng = numpy.random.default_rng(0)
    who, did, where = ["the cat", "a dog", "my bird"], ["sat", "ran", "slept"], ["on the mat", "in a box", "by me"]
    lines = [" ".join(part[rng.integers(3)] for part in (who, did, where)) + "\n" for _ in range(300)]
    return Texts("".join(lines[:250]), "".join(lines[250:]))


def tokenizer_of(kind: str, text: str, vocabulary: int | None) -> Tokenizer:
    """A tokenizer trained on `text`: kind "characters", "words" or "bpe", the last two of at most `vocabulary` tokens.

    Raises DataError for another kind.
    """
    if kind == "characters":
        return CharTokenizer.train(text)
    if kind == "words":
        return WordTokenizer.train(text, vocabulary)
    if kind == "bpe" and vocabulary is not None:
        return BPETokenizer.train(text, vocabulary)
    raise DataError(f"[corpora] tokens are characters, words or bpe with a vocabulary, got {kind!r} with {vocabulary}")
