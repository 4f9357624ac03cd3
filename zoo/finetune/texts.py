"""Text of a user's as rows of ids: windows of one long text, or prompts with their completions."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy

from needle.data.text import Tokenizer
from needle.errors import DataError

from .rows import RowError, kind_of, read_rows, read_text, text_of

IGNORED = -1  # the target of a place where nothing is to be predicted
MAX_TEXT = 64_000_000  # characters
MAX_COLUMNS = 256  # of a model without a bound


@dataclass(frozen=True)
class Examples:
    """Rows of ids x (n, time) int32 and what follows each place, y (n, time): IGNORED where nothing is learned.

    `bytes` is the length in UTF-8 of what y stands for; `pairs` are the prompts and completions, where there are some.
    """

    x: numpy.ndarray
    y: numpy.ndarray
    bytes: int
    pairs: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.x)

    @property
    def tokens(self) -> int:
        """How many places are learned from."""
        return int((self.y != IGNORED).sum())


def read_examples(
    path: Path, tokenizer: Tokenizer, context: int | None, share: float, seed: int
) -> tuple[Examples, Examples | None]:
    """What to learn from and, where `share` is not 0, what is held out: the end of a text, or rows drawn by `seed`.

    Raises DataError for a file that is neither .txt nor .jsonl, rows that are malformed, or too little text.
    """
    columns = context or MAX_COLUMNS
    if kind_of(path) == ".txt":
        return _text(path, tokenizer, columns, share)
    pairs = _pairs(path, tokenizer, columns)
    if not share:
        return _rows(pairs), None
    held = max(1, round(share * len(pairs)))
    if held >= len(pairs):
        raise DataError(f"[finetune] {path} needs at least 2 rows, one of them to measure on, got {len(pairs)}")
    order = numpy.random.default_rng(seed).permutation(len(pairs))
    parts = (sorted(order[held:].tolist()), sorted(order[:held].tolist()))
    learned, measured = (_rows([pairs[i] for i in part]) for part in parts)
    return learned, measured


def read_held(path: Path, tokenizer: Tokenizer, context: int | None) -> Examples:
    """All of a text or of rows, to measure on: every token but the first of a text is a target once. DataError."""
    columns = context or MAX_COLUMNS
    if kind_of(path) != ".txt":
        return _rows(_pairs(path, tokenizer, columns))
    ids = _encoded(path, read_text(path), tokenizer, 0)
    if len(ids) < 2:
        raise DataError(f"[finetune] {path} is too short: it needs at least 2 tokens, got {len(ids)}")
    return _windows(ids, tokenizer, columns, columns)


def _pairs(path: Path, tokenizer: Tokenizer, columns: int) -> list[Pair]:
    """The rows of a file. Raises DataError for a file that is none of rows."""
    if kind_of(path) != ".jsonl":
        raise DataError(
            f'[finetune] a language model learns from a file of text (.txt) or rows {{"prompt": ..., "completion": '
            f"...}} (.jsonl), got {path}"
        )
    return read_rows(path, ("prompt", "completion"), lambda row: _pair(row, tokenizer, columns))


def _text(path: Path, tokenizer: Tokenizer, columns: int, share: float) -> tuple[Examples, Examples | None]:
    text = read_text(path)
    if len(text) > MAX_TEXT:
        raise DataError(f"[finetune] {path} has {len(text):,} characters, at most {MAX_TEXT:,} can be learned from")
    cut = round(len(text) * (1 - share))
    learned = _encoded(path, text[:cut], tokenizer, 0)
    held = _encoded(path, text[cut:], tokenizer, text.count("\n", 0, cut))
    if len(learned) < 2 or (share and len(held) < 2):
        raise DataError(
            f"[finetune] {path} is too short: both parts need at least 2 tokens, got {len(text)} characters"
        )
    step = max(1, columns // 2)  # windows overlap by half: each place is seen with more and with less before it
    return _windows(learned, tokenizer, columns, step), _windows(held, tokenizer, columns, columns) if share else None


def _encoded(path: Path, text: str, tokenizer: Tokenizer, lines_before: int) -> numpy.ndarray:
    """The ids of a text. Raises DataError with the line that the tokenizer cannot express."""
    try:
        return numpy.array(tokenizer.encode(text), dtype="int32")
    except DataError:
        for place, line in enumerate(text.split("\n"), 1 + lines_before):
            try:
                tokenizer.encode(line)
            except DataError as error:
                what = str(error).partition(": ")[0]  # what follows is advice to those who train a tokenizer
                raise DataError(f"[finetune] {path} line {place}: {what}; leave it out, or replace it") from None
        raise


def _windows(ids: numpy.ndarray, tokenizer: Tokenizer, columns: int, step: int) -> Examples:
    """Windows that start every `step` ids and together hold every id but the first as a target; the last is padded."""
    columns = min(columns, len(ids) - 1)
    starts = numpy.arange(0, max(1, len(ids) - 1 - columns + step), step)
    at = starts[:, None] + numpy.arange(columns)
    inside = at < len(ids) - 1
    x = numpy.where(inside, ids[numpy.minimum(at, len(ids) - 1)], 0).astype("int32")
    y = numpy.where(inside, ids[numpy.minimum(at + 1, len(ids) - 1)], IGNORED).astype("int32")
    return Examples(x, y, len(tokenizer.decode(ids[1:].tolist()).encode()))


Pair = tuple[str, str, list[int], list[int]]


def _pair(row: dict[str, Any], tokenizer: Tokenizer, columns: int) -> Pair:
    """A prompt and its completion with their ids. Raises RowError, or DataError for what cannot be expressed."""
    prompt, completion = text_of(row, "prompt"), text_of(row, "completion")
    if not completion:
        raise RowError("has an empty completion: write what the model is to answer")
    before, after = tokenizer.encode(prompt or "\n"), tokenizer.encode(completion)
    if len(before) + len(after) > columns + 1:
        raise RowError(
            f"has {len(before) + len(after)} tokens, the model takes {columns + 1}: shorten prompt or completion"
        )
    return prompt, completion, before, after


def _rows(pairs: list[Pair]) -> Examples:
    """A row for each pair; targets are the tokens of the completions alone."""
    columns = max(len(before) + len(after) for _, _, before, after in pairs) - 1
    x = numpy.zeros((len(pairs), columns), "int32")
    y = numpy.full((len(pairs), columns), IGNORED, "int32")
    for row, (_, _, before, after) in enumerate(pairs):
        ids = before + after
        x[row, : len(ids) - 1] = ids[:-1]
        y[row, len(before) - 1 : len(ids) - 1] = after
    length = sum(len(completion.encode()) for _, completion, _, _ in pairs)
    return Examples(x, y, length, tuple((prompt, completion) for prompt, completion, _, _ in pairs))
