"""Samples, meaning, PyTorch counterpart and refusals of embedding and attention."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from needle import ops
from tests.case import Array, Case, Refusal, by_differences, ids, normal, torch


def embed(_: Any, ids: Array, weight: Array) -> Array:
    out = np.zeros((*ids.shape, weight.shape[1]))
    for place in np.ndindex(*ids.shape):
        out[place] = weight[int(ids[place])]
    return out


def embed_gradient(op: Any, g: Array, ids: Array) -> Array:
    out = np.zeros((op.n, g.shape[-1]))
    for place in np.ndindex(*ids.shape):
        out[int(ids[place])] += g[place]
    return out


def random(op: Any, counter: Array) -> Array:
    """SplitMix64 as its authors write it, in Python's integers."""
    mask, gamma = 2**64 - 1, 0x9E3779B97F4A7C15

    def mixed(z: int) -> int:
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
        return z ^ (z >> 31)

    state = mixed(op.key + int(counter[0]) * gamma & mask)
    numbers = [(mixed(state + (i + 1) * gamma & mask) >> 40) / 2**24 for i in range(math.prod(op.shape))]
    return np.array(numbers, dtype=float).reshape(op.shape)


def attention(op: Any, q: Array, k: Array, v: Array) -> tuple[Array, Array]:
    out, lse = np.zeros(q.shape), np.zeros(q.shape[:3])
    for b, head, i in np.ndindex(*q.shape[:3]):
        seen = k.shape[2] - q.shape[2] + i + 1 if op.causal else k.shape[2]
        scores = np.array([op.scale * sum(q[b, head, i] * k[b, head, j]) for j in range(seen)])
        total = sum(np.exp(scores))
        lse[b, head, i] = np.log(total)
        out[b, head, i] = sum(np.exp(s) / total * v[b, head, j] for j, s in enumerate(scores))
    return out, lse


def attention_gradient(op: Any, g: Array, q: Array, k: Array, v: Array, *_: Array) -> tuple[Array, ...]:
    return tuple(by_differences(lambda *a: attention(op, *a), (g,), (q, k, v)))


def torch_attention(op: Any, q: Any, k: Any, v: Any) -> Any:
    mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril(k.shape[2] - q.shape[2]) if op.causal else None
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=op.scale)


def _attention_saved(op: Any) -> Callable[..., tuple[Array, ...]]:
    return lambda g, q, k, v: MEANING[ops.Attention](op, q, k, v)


HEADS = ((2, 1, 3, 4), (2, 1, 5, 4), (2, 1, 5, 4))  # q, k, v

CASES: list[Case] = [
    *(
        Case(op, (normal(*shape),), fixed=(0,))
        for op, shape in ((ops.Iota(0), (4,)), (ops.Iota(-1, 3), (2, 5)), (ops.Iota(1), (2, 0, 3)))
    ),
    *(
        Case(ops.Random(shape, key), (np.array([float(counter)]),), fixed=(0,))
        for shape, key, counter in (((3, 4), 0, 0), ((), 2**53 - 1, 1), ((2, 0), 5, 9), ((70,), 12345, 1 << 20))
    ),
    *(Case(ops.Embed(), (ids(5, *shape), normal(5, 3)), fixed=(0,)) for shape in ((4,), (2, 3), (0, 2), ())),
    *(Case(ops.EmbedGradient(5), (normal(*shape, 3), ids(5, *shape)), fixed=(1,)) for shape in ((4,), (2, 3), (0,))),
    *(Case(ops.Attention(0.5, causal), tuple(normal(*s) for s in HEADS), outputs=1) for causal in (False, True)),
    *(
        Case(op, (normal(*HEADS[0]), *(normal(*shape) for shape in HEADS)), saved=_attention_saved(op))
        for op in (ops.AttentionGradient(0.5), ops.AttentionGradient(0.5, True))
    ),
]

MEANING: dict[type, Callable[..., Any]] = {
    ops.Iota: lambda op, x: np.array([op.first + i for i in range(x.shape[op.axis])], dtype=float),
    ops.Random: random,
    ops.Embed: embed,
    ops.EmbedGradient: embed_gradient,
    ops.Attention: attention,
    ops.AttentionGradient: attention_gradient,
}

TORCH: dict[type, Callable[..., Any]] = {
    ops.Iota: lambda op, x: torch.arange(op.first, op.first + x.shape[op.axis], dtype=x.dtype),
    ops.Embed: lambda op, ids, weight: torch.nn.functional.embedding(ids.long(), weight),
    ops.Attention: torch_attention,
}

REFUSALS: list[Refusal] = [
    (ops.Iota(2), ((3, 2),), r"\[iota\] axis must be in -2\.\.1 for 2 axes, got 2"),
    (ops.Random((2,), -1), ((1,),), r"\[random\] needs a key in 0\.\.2\^53 - 1, got -1"),
    (ops.Random((2,), 0), ((2,),), r"\[random\] needs one counter, of shape \(1,\), got \(2,\)"),
    (ops.Random((-2,), 0), ((1,),), r"\[random\] the size of an axis must be in"),
    (ops.Embed(), ((3,), (4,)), r"\[embed\] needs a weight \(n, d\), got \(4,\)"),
    (ops.EmbedGradient(4), ((3, 2), (4,)), r"\[embed_gradient\] needs g of shape ids\.shape \+ \(d,\), got \(3, 2\)"),
    (ops.Attention(1.0), ((1, 1, 2, 3), (1, 1, 2, 4), (1, 1, 2, 4)), r"\[attention\] needs q \(B, H, Tq, D\)"),
    (ops.Attention(1.0, True), ((1, 1, 3, 2), (1, 1, 2, 2), (1, 1, 2, 2)), r"\[attention\] needs a key for every"),
]  # fmt: skip
