"""Text to train on: found on this machine, downloaded, or made up."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy

from needle.data.download import dataset_folder
from needle.data.text import BPETokenizer, CharTokenizer, Tokenizer, WordTokenizer
from needle.errors import DataError


class Texts(NamedTuple):
    """The text to train on, and the text to measure on."""

    train: str
    test: str


NOVELS = ("war_and_peace", "moby_dick", "great_expectations", "tale_of_two_cities", "pride_and_prejudice")
# The files of each data set, and n: the last n-th part of each file is held out to measure on. (Penn Treebank has a
# text of its own for that, its second file.)
CORPORA: dict[str, tuple[tuple[str, ...], int | None]] = {
    "tinyshakespeare": (("input.txt",), 10),
    "gutenberg-novels": (tuple(f"{name}.txt" for name in NOVELS), 20),
    "ptb": (("ptb.train.txt", "ptb.test.txt"), None),
}


def texts(name: str, folder: str | Path | None = None) -> Texts:
    """One of CORPORA, from `folder`, from NEEDLE_DATA, or downloaded and checked.

    Raises DataError if it is not there and cannot be fetched.
    """
    if name not in CORPORA:
        raise DataError(f"[corpora] there is no text {name!r}; there are {', '.join(CORPORA)}")
    home = Path(folder or dataset_folder(name))
    files, parts = CORPORA[name]
    try:
        found = [(home / file).read_text(encoding="utf-8") for file in files]
    except OSError as error:
        raise DataError(f"[corpora] {error.filename} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"[corpora] {name} in {home} is not text in UTF-8: byte {error.start}") from None
    if parts is None:
        return Texts(*found)
    cuts = [len(text) * (parts - 1) // parts for text in found]
    trained = [text[:cut] for text, cut in zip(found, cuts, strict=True)]
    held = [text[cut:] for text, cut in zip(found, cuts, strict=True)]
    return Texts("\n\n".join(trained), "\n\n".join(held))


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
