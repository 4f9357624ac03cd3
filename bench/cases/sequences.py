"""Recurrent layers, attention and embeddings, each with its gradient."""

from __future__ import annotations

from typing import Any

from bench.case import Run, Sides
from bench.cases.data import full, k, normal, normals, pytorch, whole
from needle.backend_ndarray import NDArray


def lstm(steps: int, batch: int, hidden: int) -> Sides:
    """The whole layer, its input's product included on both sides."""
    x, g, zeros = normal(steps * batch, hidden), normal(steps, batch, hidden), full(0.0, batch, hidden)
    w_ih, w_hh = (normal(hidden, 4 * hidden, scale=0.05) for _ in range(2))

    def ours() -> None:
        gates = k.matmul(x, w_ih)
        saved = k.lstm(gates.reshape((steps, batch, 4 * hidden)), zeros, zeros, w_hh)
        d_gates = k.lstm_gradient(g, zeros, *saved, zeros, zeros, w_hh)[0].reshape((steps * batch, 4 * hidden))
        k.matmul(x.permute((1, 0)), d_gates)
        k.sum(d_gates, 0)

    return Sides(ours, {"PyTorch": lambda: torch_layer("LSTM", x, g)})


def gru(steps: int, batch: int, hidden: int) -> Sides:
    """The whole layer, its input's product included on both sides."""
    x, g, h0 = normal(steps * batch, hidden), normal(steps, batch, hidden), full(0.0, batch, hidden)
    w_ih, w_hh = (normal(hidden, 3 * hidden, scale=0.05) for _ in range(2))
    bias = full(0.0, 3 * hidden)

    def ours() -> None:
        gates = k.matmul(x, w_ih)
        saved = k.gru(gates.reshape((steps, batch, 3 * hidden)), h0, w_hh, bias)
        d_gates = k.gru_gradient(g, *saved, h0, w_hh)[0].reshape((steps * batch, 3 * hidden))
        k.matmul(x.permute((1, 0)), d_gates)
        k.sum(d_gates, 0)

    return Sides(ours, {"PyTorch": lambda: torch_layer("GRU", x, g)})


def torch_layer(kind: str, x: NDArray, g: NDArray) -> Run:
    t = pytorch()
    hidden = x.shape[1]
    layer: Any = getattr(t.torch.nn, kind)(hidden, hidden)
    sequence, tg, weights = t.tensor(x).reshape(g.shape), t.tensor(g), list(layer.parameters())
    return lambda: t.grad(layer(sequence)[0], weights, tg)


def attention(batch: int, heads: int, length: int, depth: int) -> Sides:
    """Causal."""
    q, key, v, g = normals(*[(batch, heads, length, depth)] * 4)
    scale = depth**-0.5

    def ours() -> None:
        out, lse = k.attention(q, key, v, scale, True)
        k.attention_gradient(g, q, key, v, out, lse, scale, True)

    def peer() -> Run:
        t = pytorch()
        operands, tg = t.leaves(q, key, v), t.tensor(g)
        return lambda: t.grad(t.F.scaled_dot_product_attention(*operands, is_causal=True), operands, tg)

    return Sides(ours, {"PyTorch": peer})


def embedding(count: int, table: int, width: int) -> Sides:
    ids, w, g = whole(table, count), normal(table, width), normal(count, width)

    def ours() -> None:
        k.embedding(ids, w)
        k.embedding_gradient(g, ids, table)

    def peer() -> Run:
        t = pytorch()
        (tw,), tids, tg = t.leaves(w), t.tensor(ids).long(), t.tensor(g)
        return lambda: t.grad(t.F.embedding(tids, tw), tw, tg)

    return Sides(ours, {"PyTorch": peer})
