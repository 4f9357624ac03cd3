"""Text as word ids, cut into columns for truncated back-propagation through time (Penn Treebank's layout of files)."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy

from ... import reprs
from ...autograd import Tensor
from ...errors import DataError, SettingError
from ...types import INTEGERS


class Dictionary:
    """Words and their ids, numbered in order of first appearance."""

    def __init__(self) -> None:
        self.word2idx: dict[str, int] = {}
        self.idx2word: list[str] = []

    def __repr__(self) -> str:
        return reprs.call(self, [reprs.count(reprs.length(self) or 0, "word")])

    def add_word(self, word: str) -> int:
        """The id of `word`, new if it was not known."""
        if word not in self.word2idx:
            self.word2idx[word] = len(self.idx2word)
            self.idx2word.append(word)
        return self.word2idx[word]

    def __len__(self) -> int:
        return len(self.idx2word)


class Corpus:
    """`train` and `test`: the ids of the words of train.txt and test.txt in a folder, with <eos> at each line's end.

    ptb.train.txt and ptb.test.txt are read where the plain names are missing. Of each file the first `max_lines` lines
    are read, None: all. Raises DataError where a file is missing, SettingError for a count that is none.
    """

    def __init__(self, base_dir: str | Path, max_lines: int | None = None) -> None:
        if max_lines is not None and (not isinstance(max_lines, INTEGERS) or max_lines < 0):
            raise SettingError(f"[Corpus] max_lines counts lines, from 0 on, got {max_lines!r}")
        self.dictionary = Dictionary()
        self.train = self.tokenize(_text_file(base_dir, "train"), max_lines)
        self.test = self.tokenize(_text_file(base_dir, "test"), max_lines)

    def __repr__(self) -> str:
        ids = [f"{split}: {reprs.count(len(getattr(self, split, ())), 'id')}" for split in ("train", "test")]
        return reprs.call(self, [*ids, reprs.count(reprs.length(getattr(self, "dictionary", ())) or 0, "word")])

    def tokenize(self, path: str | Path, max_lines: int | None = None) -> list[int]:
        """The ids of the words in the first `max_lines` lines of a file, new words added to the dictionary."""
        ids: list[int] = []
        with open(path, encoding="utf-8") as file:
            for line in islice(file, max_lines):
                ids += [self.dictionary.add_word(word) for word in [*line.split(), "<eos>"]]
        return ids


def batchify(data: Any, batch_size: int, device: Any = None, dtype: Any = None) -> numpy.ndarray:
    """The ids as columns of contiguous text: (len(data) // batch_size, batch_size); what is left over is cut off.

    `device` is accepted for symmetry with `get_batch`; the result is a numpy array.
    """
    length = len(data) // batch_size
    return numpy.array(data[: length * batch_size], dtype=dtype).reshape(batch_size, length).T


def get_batch(
    batches: numpy.ndarray, i: int, bptt: int, device: Any = None, dtype: Any = None
) -> tuple[Tensor, Tensor]:
    """(rows i .. i + n of `batches` (n, batch_size), the rows one further as one list (n batch_size,)).

    n = min(bptt, rows left). Raises DataError when no row has a successor.
    """
    length = min(bptt, len(batches) - 1 - i)
    if i < 0 or length < 1:
        raise DataError(f"[get_batch] needs 0 <= i < {len(batches) - 1} and bptt >= 1, got i = {i}, bptt = {bptt}")
    dtype = "float32" if dtype is None else dtype
    data, target = batches[i : i + length], batches[i + 1 : i + 1 + length].reshape(-1)
    x = Tensor(data, device=device, dtype=dtype, requires_grad=False)
    return x, Tensor(target, device=device, dtype=dtype, requires_grad=False)


def _text_file(base_dir: str | Path, split: str) -> Path:
    for name in (f"{split}.txt", f"ptb.{split}.txt"):
        if (Path(base_dir) / name).is_file():
            return Path(base_dir) / name
    raise DataError(f"[Corpus] {base_dir} holds no {split}.txt")
