"""Samples, meaning, PyTorch counterpart and refusals of decoding with a cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from needle import ops
from tests.case import Array, Case, Refusal, normal, torch


def cache_write(_: Any, cache: Array, new: Array, slot: Array, position: Array) -> Array:
    out = cache.copy()
    for b, t in np.ndindex(*new.shape[:2]):
        out[int(slot[b]), int(position[b]) + t] = new[b, t]
    return out


def cached_attention(op: Any, q: Array, keys: Array, values: Array, slot: Array, position: Array) -> Array:
    out = np.zeros(q.shape)
    for b, h, i in np.ndindex(*q.shape[:3]):
        seen = range(int(position[b]) + i + 1)
        k, v = ([x[int(slot[b]), j, h] for j in seen] for x in (keys, values))
        weights = [np.exp(op.scale * sum(q[b, h, i] * each)) for each in k]
        out[b, h, i] = sum(w / sum(weights) * each for w, each in zip(weights, v, strict=True))
    return out


def torch_cache_write(_: Any, cache: Any, new: Any, slot: Any, position: Any) -> Any:
    places = position.long()[:, None] + torch.arange(new.shape[1])
    return cache.index_put((slot.long()[:, None], places), new)


def torch_cached_attention(op: Any, q: Any, keys: Any, values: Any, slot: Any, position: Any) -> Any:
    k, v = (x[slot.long()].transpose(1, 2) for x in (keys, values))
    last = position.long()[:, None, None, None] + torch.arange(q.shape[2])[:, None]
    seen = torch.arange(k.shape[2]) <= last
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=op.scale)


def at(*numbers: int) -> Array:
    return np.array(numbers, dtype=float)


CACHE = (3, 5, 2, 4)  # slots, context, H, D
ROWS: list[tuple[int, Array, Array]] = [  # steps, slots and positions
    (1, at(2), at(0)),
    (2, at(2, 0, 1), at(0, 3, 1)),
    (2, at(1, 1), at(2, 0)),  # one sequence in two pieces
    (5, at(0), at(0)),
    (0, at(0), at(5)),
    (3, at(), at()),
]

CASES: list[Case] = [
    *(Case(ops.Positions(), (first, normal(len(first), n)), fixed=(0, 1)) for n, _, first in ROWS),
    *(Case(ops.CacheWrite(), (normal(*CACHE), normal(len(s), n, 2, 4), s, p), fixed=(2, 3)) for n, s, p in ROWS),
    *(
        Case(ops.CachedAttention(0.5), (normal(len(s), 2, n, 4), normal(*CACHE), normal(*CACHE), s, p), fixed=(3, 4))
        for n, s, p in ROWS
    ),
]

MEANING: dict[type, Callable[..., Any]] = {
    ops.Positions: lambda op, first, x: first[:, None] + np.arange(x.shape[1]),
    ops.CacheWrite: cache_write,
    ops.CachedAttention: cached_attention,
}

TORCH: dict[type, Callable[..., Any]] = {
    ops.Positions: lambda op, first, x: first[:, None] + torch.arange(x.shape[1]),
    ops.CacheWrite: torch_cache_write,
    ops.CachedAttention: torch_cached_attention,
}

REFUSALS: list[Refusal] = [
    (ops.Positions(), ((2,), (3, 4)), r"\[positions\] needs first \(B,\) and x \(B, T, \.\.\.\), got \(2,\)"),
    (ops.CacheWrite(), (CACHE, (1, 2, 2, 3), (1,), (1,)), r"\[cache_write\] needs a cache \(slots, context, H, D\)"),
    (ops.CacheWrite(), (CACHE, (2, 2, 2, 4), (2,), (1,)), r"\[cache_write\] needs a slot and a position for each of 2"),
    (ops.CacheWrite(), (CACHE, (1, 6, 2, 4), (1,), (1,)), r"\[cache_write\] a slot has room for 5 positions, got 6"),
    (
        ops.CachedAttention(1.0), ((1, 2, 2, 4), CACHE, (3, 5, 2, 3), (1,), (1,)),
        r"\[cached_attention\] needs q \(B, H, T, D\), keys and values",
    ),
    (ops.CachedAttention(1.0), ((1, 2, 2, 4), CACHE, CACHE, (2,), (1,)), r"\[cached_attention\] needs a slot and a"),
]  # fmt: skip
