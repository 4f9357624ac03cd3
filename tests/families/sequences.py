"""Samples, meaning, PyTorch counterpart and refusals of the ops of sequences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from needle import ops
from tests.case import Array, Case, Refusal, by_differences, ids, normal, torch
from tests.families.activations import sigmoid


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


def lstm(_: Any, gates: Array, h: Array, c: Array, W: Array) -> tuple[Array, ...]:
    hidden, cells, activated = [], [], []
    for step in gates:
        z = step + h @ W
        i, f, g, o = (z[:, k * h.shape[1] : (k + 1) * h.shape[1]] for k in range(4))
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        c = f * c + i * g
        h = o * np.tanh(c)
        hidden.append(h)
        cells.append(c)
        activated.append(np.concatenate([i, f, g, o], axis=1))
    return np.stack(hidden), c, np.stack(cells), np.stack(activated)


def attention(op: Any, q: Array, k: Array, v: Array) -> tuple[Array, Array]:
    out, lse = np.zeros(q.shape), np.zeros(q.shape[:3])
    for b, head, i in np.ndindex(*q.shape[:3]):
        seen = k.shape[2] - q.shape[2] + i + 1 if op.causal else k.shape[2]
        scores = np.array([op.scale * sum(q[b, head, i] * k[b, head, j]) for j in range(seen)])
        total = sum(np.exp(scores))
        lse[b, head, i] = np.log(total)
        out[b, head, i] = sum(np.exp(s) / total * v[b, head, j] for j, s in enumerate(scores))
    return out, lse


def lstm_gradient(op: Any, g: Array, d_cell: Array, *arrays: Array) -> tuple[Array, ...]:
    return tuple(by_differences(lambda *a: lstm(op, *a), (g, d_cell), arrays[:4]))


def attention_gradient(op: Any, g: Array, q: Array, k: Array, v: Array, *_: Array) -> tuple[Array, ...]:
    return tuple(by_differences(lambda *a: attention(op, *a), (g,), (q, k, v)))


def torch_attention(op: Any, q: Any, k: Any, v: Any) -> Any:
    mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril(k.shape[2] - q.shape[2]) if op.causal else None
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=op.scale)


def torch_lstm(_: Any, gates: Any, h: Any, c: Any, W: Any) -> Any:
    """torch's own LSTM on inputs that are the gates: its input weight is the identity."""
    states, hidden = [], h.shape[1]
    for step in gates:
        h, c = torch.lstm_cell(step, (h, c), torch.eye(4 * hidden), W.T)
        states.append(h)
    return torch.stack(states), c


def _lstm_saved(g: Array, d_cell: Array, *inputs: Array) -> tuple[Array, ...]:
    out, _, cells, activated = MEANING[ops.LSTM](None, *inputs)
    return out, cells, activated

def _attention_saved(op: Any) -> Callable[..., tuple[Array, ...]]:
    return lambda g, q, k, v: MEANING[ops.Attention](op, q, k, v)


STATES = ((3, 2, 8), (2, 2), (2, 2), (2, 8))  # gates, h0, c0, W of an LSTM

HEADS = ((2, 1, 3, 4), (2, 1, 5, 4), (2, 1, 5, 4))  # q, k, v

CASES: list[Case] = [
    *(Case(ops.Embed(), (ids(5, *shape), normal(5, 3)), fixed=(0,)) for shape in ((4,), (2, 3), (0, 2), ())),
    *(Case(ops.EmbedGradient(5), (normal(*shape, 3), ids(5, *shape)), fixed=(1,)) for shape in ((4,), (2, 3), (0,))),
    *(Case(ops.LSTM(), tuple(normal(*shape) for shape in STATES), outputs=n) for n in (1, 2)),
    Case(ops.LSTM(), tuple(normal(*shape) for shape in ((1, 1, 4), (1, 1), (1, 1), (1, 4))), outputs=2),
    Case(ops.LSTMGradient(), (normal(3, 2, 2), *(normal(*s) for s in (STATES[1], *STATES))), saved=_lstm_saved),
    *(Case(ops.Attention(0.5, causal), tuple(normal(*s) for s in HEADS), outputs=1) for causal in (False, True)),
    *(
        Case(op, (normal(*HEADS[0]), *(normal(*shape) for shape in HEADS)), saved=_attention_saved(op))
        for op in (ops.AttentionGradient(0.5), ops.AttentionGradient(0.5, True))
    ),
]

MEANING: dict[type, Callable[..., Any]] = {
    ops.Embed: embed,
    ops.EmbedGradient: embed_gradient,
    ops.LSTM: lstm,
    ops.LSTMGradient: lstm_gradient,
    ops.Attention: attention,
    ops.AttentionGradient: attention_gradient,
}

TORCH: dict[type, Callable[..., Any]] = {
    ops.Embed: lambda op, ids, weight: torch.nn.functional.embedding(ids.long(), weight),
    ops.LSTM: torch_lstm,
    ops.Attention: torch_attention,
}

REFUSALS: list[Refusal] = [
    (ops.Embed(), ((3,), (4,)), r"\[embed\] needs a weight \(n, d\), got \(4,\)"),
    (ops.EmbedGradient(4), ((3, 2), (4,)), r"\[embed_gradient\] needs g of shape ids\.shape \+ \(d,\), got \(3, 2\)"),
    (ops.LSTM(), ((3, 2, 8), (2, 3), (2, 2), (2, 8)), r"\[lstm\] needs gates \(T, B, 4H\) with T > 0"),
    (ops.LSTM(), ((3, 2, 8), (2, 2), (2, 3), (2, 8)), r"\[lstm\] needs c0 of the shape of h0 \(2, 2\), got \(2, 3\)"),
    (ops.Attention(1.0), ((1, 1, 2, 3), (1, 1, 2, 4), (1, 1, 2, 4)), r"\[attention\] needs q \(B, H, Tq, D\)"),
    (ops.Attention(1.0, True), ((1, 1, 3, 2), (1, 1, 2, 2), (1, 1, 2, 2)), r"\[attention\] needs a key for every"),
]  # fmt: skip
