"""GPT: a Transformer that reads from left to right."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy

import needle as ndl
from needle import nn, ops
from needle.data.text import BPETokenizer, CharTokenizer, Tokenizer
from needle.errors import ShapeError
from needle.optim.settings import whole
from needle.types import Type

from ..language_model import IDS, Decoding, LanguageModel, ids_tensor, redraw
from ..recipes.language import WindowRecipe
from ..registry import Tiny, model
from ..signature import Text
from . import shakespeare


class GPT(LanguageModel):
    """logits = norm(blocks(token embedding + position embedding)) times the token embedding, or a head of its own.

    Weights are drawn from N(0, 0.02^2), those that end a residual branch from N(0, 0.02^2 / (2 layers)), biases are 0.
    Beyond `context` tokens `generate` goes on with a window that moves by half of it: the model then sees the last
    context / 2 tokens, and those that follow until it is full again; the same for longer prompts.
    Source: Radford et al., "Language models are unsupervised multitask learners" (GPT-2), 2019.
    """

    context: int

    def __init__(
        self, tokenizer: Tokenizer | Mapping[str, Any], *, context: int = 256, width: int = 384, layers: int = 6,
        heads: int = 6, dropout: float = 0.0, tied: bool = True, device: Any = None, dtype: str = "float32",
    ) -> None:  # fmt: skip
        super().__init__(tokenizer, context=context, device=device)
        whole("GPT", context=context, width=width, layers=layers, heads=heads)
        options = {"device": device, "dtype": dtype}
        self.embedding = nn.Embedding(len(self.tokenizer), width, **options)
        self.positions = nn.Embedding(context, width, **options)
        self.dropout = nn.Dropout(dropout) if dropout > 0 else nn.Identity()
        self.blocks = [nn.TransformerBlock(width, heads, dropout=dropout, **options) for _ in range(layers)]
        self.norm = nn.LayerNorm1d(width, **options)
        self.head = None if tied else nn.Linear(width, len(self.tokenizer), bias=False, **options)
        self._draw()

    def _draw(self) -> None:
        std = 0.02
        for module in (self.embedding, self.positions, self.head):
            if module is not None:
                redraw(module, std)
        for block in self.blocks:
            for module in (block.attention.qkv, block.up):
                redraw(module, std)
            for module in (block.attention.out, block.down):
                redraw(module, std / math.sqrt(2 * len(self.blocks)))

    def forward(self, ids: ndl.Tensor, caches: Sequence[nn.KVCache] | None = None) -> ndl.Tensor:
        return self._logits(self.features(ids, caches))

    def features(self, ids: ndl.Tensor, caches: Sequence[nn.KVCache] | None = None) -> ndl.Tensor:
        first = caches[0].length if caches else 0
        steps = ids.shape[1]
        if first + steps > self.context:
            raise ShapeError(f"[GPT] takes at most {self.context} tokens at once, got {first + steps}: see `context`")
        x = self.embedding(ids)
        x = x + ops.broadcast_to(self.positions(ops.iota(ids, 1, first)), x.shape)
        x = self.dropout(x)
        for number, block in enumerate(self.blocks):
            x = block(x, caches[number] if caches else None)
        hidden: ndl.Tensor = self.norm(x)
        return hidden

    def _logits(self, x: ndl.Tensor) -> ndl.Tensor:
        return ops.matmul(x, ops.transpose(self.embedding.weight)) if self.head is None else self.head(x)

    def step(self, ids: ndl.Tensor, slot: ndl.Tensor, position: ndl.Tensor, *caches: ndl.Tensor) -> tuple[Any, ...]:
        """(logits, *caches) for ids (batch, time) that go on at `position` of `slot`, both (batch,), of the caches.

        A cache (slots, context, heads, width / heads) for the keys and one for the values of each block, in this order;
        they come back with those of the ids in them.
        """
        x, after = self.embedding(ids) + self.positions(ops.positions(position, ids)), []
        for block, keys, values in zip(self.blocks, caches[::2], caches[1::2], strict=True):
            x, *written = block.step(x, keys, values, slot, position)
            after += written
        return self._logits(self.norm(x)), *after

    def decoding(self, slots: int = 1) -> Decoding:
        """`step`, with caches for `slots` sequences of up to `context` tokens: row b of a call goes on with slot[b].

        Sequences begin at position 0, whatever the slot held before. Raises SettingError for less than one slot.
        """
        whole("decoding", slots=slots)
        heads, width = self.blocks[0].attention.heads, self.embedding.weight.shape[1]
        row = Type(("batch",), "int32")  # type: ignore[arg-type]
        cache = Type((slots, self.context, heads, width // heads))
        caches = {f"{kind}_{i}": cache for i in range(len(self.blocks)) for kind in ("keys", "values")}
        given = {"ids": IDS, "slot": row, "position": row}
        return Decoding.of(self.step, given, caches, {"time": (1, self.context)})

    def reader(self) -> _CachedReader:
        return _CachedReader(self)


class _CachedReader:
    """Reads through the caches of every block; when the context is full, it starts anew with the last half of it."""

    def __init__(self, gpt: GPT) -> None:
        self.gpt = gpt
        self.caches = [block.attention.cache(1, gpt.context) for block in gpt.blocks]
        self.window: list[int] = []

    def read(self, ids: Sequence[int]) -> numpy.ndarray:
        self.window += ids
        if len(self.window) > self.gpt.context:
            ids = self.window = self.window[-max(1, self.gpt.context // 2) :]
            for cache in self.caches:
                cache.reset()
        last: numpy.ndarray = self.gpt(ids_tensor([ids], self.gpt.device), self.caches).numpy()[0, -1]
        return last


TINY = {"context": 16, "width": 32, "layers": 2, "heads": 2, "dropout": 0.1}
LIMITS = (
    "A small model of one author's plays: it imitates their look, not their sense, and knows nothing else. What it "
    "writes is made up. It repeats whatever attitudes the plays express."
)


@model(
    name="gpt-char",
    **shakespeare.ABOUT,
    input=replace(shakespeare.TEXT, context=256),
    recipe=WindowRecipe(
        epochs=4, batch=32, stride=64, lr=3e-3, final_lr=1e-4, muon_lr=0.02, warmup=100, weight_decay=0.1
    ),
    tiny=Tiny(
        model=TINY,
        recipe={"epochs": 3, "batch": 32, "stride": 16, "lr": 1e-2, "final_lr": 2e-4, "muon_lr": 0.0, "warmup": 4},
    ),
    limits=LIMITS,
)
def gpt_char(
    tokenizer: Tokenizer | Mapping[str, Any] | None = None, device: Any = None, dtype: str = "float32", *,
    context: int = 256, width: int = 256, layers: int = 4, heads: int = 4, dropout: float = 0.1, tied: bool = True,
) -> GPT:  # fmt: skip
    """A GPT of characters: 3.2 million parameters. `tokenizer` None: that of Tiny Shakespeare's 65 characters."""
    return GPT(
        tokenizer or CharTokenizer(shakespeare.CHARACTERS), context=context, width=width, layers=layers, heads=heads,
        dropout=dropout, tied=tied, device=device, dtype=dtype,
    )  # fmt: skip


@model(
    name="gpt-novels",
    task="language modelling: writes on in the manner of nineteenth-century novels, by byte pairs",
    data="five novels of Project Gutenberg (War and Peace, Moby-Dick, Great Expectations, A Tale of Two Cities, Pride "
    "and Prejudice), 6.9 million characters: trained on the first 95 % of each, measured on the rest",
    input=Text("byte pairs", 2048, 256),
    output=Text("byte pairs", 2048),
    recipe=WindowRecipe(
        epochs=6, batch=32, dataset="gutenberg-novels", tokens="bpe", vocabulary=2048, stride=256, lr=3e-3,
        final_lr=1e-4, muon_lr=0.02, warmup=100, weight_decay=0.1,
    ),
    tiny=Tiny(
        model=TINY, recipe={"epochs": 3, "batch": 16, "vocabulary": 300, "stride": 8, "lr": 1e-2, "warmup": 4}
    ),
    licence="MIT (code and weights); the novels are in the public domain in the USA",
    limits="A small model of five old novels: it imitates how they sound and knows nothing beyond them. What it writes "
    "is made up, and repeats whatever attitudes the novels express. A base to fine-tune on a text of your own.",
)  # fmt: skip
def gpt_novels(
    tokenizer: Tokenizer | Mapping[str, Any] | None = None, device: Any = None, dtype: str = "float32", *,
    context: int = 256, width: int = 256, layers: int = 4, heads: int = 4, dropout: float = 0.1, tied: bool = True,
) -> GPT:  # fmt: skip
    """A GPT of byte pairs: 3.7 million parameters with 2048 tokens. `tokenizer` None: bytes, without any pairs."""
    return GPT(
        tokenizer or BPETokenizer(), context=context, width=width, layers=layers, heads=heads, dropout=dropout,
        tied=tied, device=device, dtype=dtype,
    )  # fmt: skip
