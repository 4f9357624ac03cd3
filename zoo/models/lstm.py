"""LSTM language models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy

import needle as ndl
from needle import nn, ops
from needle.data.text import CharTokenizer, Tokenizer, WordTokenizer
from needle.errors import NeedleError
from needle.optim.settings import whole
from needle.types import Type

from ..language_model import IDS, Decoding, LanguageModel, ids_tensor, redraw
from ..recipes.language import ColumnRecipe
from ..registry import Tiny, model
from ..signature import Text
from . import shakespeare

State = tuple[ndl.Tensor, ndl.Tensor]


class RecurrentLM(LanguageModel):
    """logits = dropout(LSTM(dropout(embedding))) W + b; with `tied` W is the transposed embedding and b is 0.

    Source: Zaremba et al., "Recurrent neural network regularization", 2014; Press and Wolf, "Using the output embedding
    to improve language models", 2017. Raises NeedleError for tied weights of different widths.
    """

    def __init__(
        self, tokenizer: Tokenizer | Mapping[str, Any], *, width: int = 256, hidden: int = 256, layers: int = 2,
        dropout: float = 0.0, tied: bool = False, device: Any = None, dtype: str = "float32",
    ) -> None:  # fmt: skip
        super().__init__(tokenizer, device=device)
        whole("RecurrentLM", width=width, hidden=hidden, layers=layers)
        if tied and width != hidden:
            raise NeedleError(f"[RecurrentLM] tied weights need width == hidden, got {width} and {hidden}")
        options = {"device": device, "dtype": dtype}
        self.embedding = nn.Embedding(len(self.tokenizer), width, **options)
        redraw(self.embedding, 0.1)
        self.lstm = nn.LSTM(width, hidden, layers, dropout=dropout, **options)
        self.dropout = nn.Dropout(dropout) if dropout > 0 else nn.Identity()
        self.head = None if tied else nn.Linear(hidden, len(self.tokenizer), **options)

    def forward(self, ids: ndl.Tensor) -> ndl.Tensor:
        logits, _ = self.run(ops.transpose(ids), None)
        return ops.transpose(logits, (0, 1))

    def run(self, ids: ndl.Tensor, state: State | None) -> tuple[ndl.Tensor, State]:
        """Logits (T, B, vocabulary) for ids (T, B) read from `state` on (None: zeros), and the state after them."""
        x, state = self._hidden(ids, state)
        return ops.matmul(x, ops.transpose(self.embedding.weight)) if self.head is None else self.head(x), state

    def _hidden(self, ids: ndl.Tensor, state: State | None) -> tuple[ndl.Tensor, State]:
        """The hidden states (T, B, hidden) of the last layer, and the state after them."""
        x, state = self.lstm(self.dropout(self.embedding(ids)), state)
        return self.dropout(x), state

    def features(self, ids: ndl.Tensor) -> ndl.Tensor:
        return ops.transpose(self._hidden(ops.transpose(ids), None)[0], (0, 1))

    def step(self, ids: ndl.Tensor, h: ndl.Tensor, c: ndl.Tensor) -> tuple[ndl.Tensor, ndl.Tensor, ndl.Tensor]:
        """(logits, h, c) for ids (batch, time) read from the state h and c (layers, batch, hidden) on."""
        logits, (h, c) = self.run(ops.transpose(ids), (h, c))
        return ops.transpose(logits, (0, 1)), h, c

    def decoding(self, slots: int = 1) -> Decoding:
        """`step`: each row of a call goes on with that row of the call before; there may be any number of `slots`."""
        state = Type((len(self.lstm.lstm_cells), "batch", self.lstm.hidden_size))  # type: ignore[arg-type]
        return Decoding.of(self.step, {"ids": IDS}, {"h": state, "c": state})

    def reader(self) -> _StatefulReader:
        return _StatefulReader(self)


class _StatefulReader:
    """Reads with the state after what was read before: any number of tokens."""

    def __init__(self, lm: RecurrentLM) -> None:
        self.lm = lm
        self.state: State | None = None

    def read(self, ids: Sequence[int]) -> numpy.ndarray:
        columns = [[index] for index in ids]
        logits, (h, c) = self.lm.run(ids_tensor(columns, self.lm.device), self.state)
        self.state = h.detach(), c.detach()
        last: numpy.ndarray = logits.numpy()[-1, 0]
        return last


@model(
    name="lstm-char",
    **shakespeare.ABOUT,
    input=shakespeare.TEXT,
    recipe=ColumnRecipe(epochs=8, batch=64, rows=128, lr=3e-3, final_lr=1e-4, weight_decay=0.01),
    tiny=Tiny(
        model={"width": 16, "hidden": 24, "layers": 2, "dropout": 0.1},
        recipe={"epochs": 3, "batch": 8, "rows": 48, "lr": 3e-2, "final_lr": 3e-4, "warmup": 4},
    ),
    limits="A small model of one author's plays: it imitates their look, not their sense, and knows nothing else.",
)
def lstm_char(
    tokenizer: Tokenizer | Mapping[str, Any] | None = None, device: Any = None, dtype: str = "float32", *,
    width: int = 64, hidden: int = 512, layers: int = 2, dropout: float = 0.4, tied: bool = False,
) -> RecurrentLM:  # fmt: skip
    """An LSTM of characters. `tokenizer` None: that of Tiny Shakespeare's 65 characters."""
    return RecurrentLM(
        tokenizer or CharTokenizer(shakespeare.CHARACTERS), width=width, hidden=hidden, layers=layers, dropout=dropout,
        tied=tied, device=device, dtype=dtype,
    )  # fmt: skip


@model(
    name="lstm-ptb",
    task="language modelling: the next word of American business news of 1989",
    data="Penn Treebank in Mikolov's words (10,000 different ones): trained on ptb.train.txt, measured on ptb.test.txt",
    input=Text("words", 10_000),
    output=Text("words", 10_000),
    recipe=ColumnRecipe(
        epochs=20, batch=20, dataset="ptb", tokens="words", vocabulary=10_000, rows=35, lr=5e-3, final_lr=1e-4,
        beta2=0.999, weight_decay=0.01,
    ),
    tiny=Tiny(
        model={"width": 24, "hidden": 24, "layers": 2, "dropout": 0.1},
        recipe={"epochs": 3, "batch": 4, "rows": 24, "lr": 5e-2, "warmup": 4},
    ),
    licence="MIT (code); the text has no open licence, so no weights are published: train it where you have the text",
    withheld="the text has no open licence",
    limits="It knows 10,000 lower-case words of old business news and writes `<unk>` for all others.",
)  # fmt: skip
def lstm_ptb(
    tokenizer: Tokenizer | Mapping[str, Any] | None = None, device: Any = None, dtype: str = "float32", *,
    width: int = 400, hidden: int = 400, layers: int = 2, dropout: float = 0.35, tied: bool = True,
) -> RecurrentLM:  # fmt: skip
    """An LSTM of words with tied weights. `tokenizer` None: "<unk>" and "<eos>" alone, until it is trained."""
    return RecurrentLM(
        tokenizer or WordTokenizer(["<unk>", "<eos>"]), width=width, hidden=hidden, layers=layers, dropout=dropout,
        tied=tied, device=device, dtype=dtype,
    )  # fmt: skip
