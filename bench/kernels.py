"""The fused kernels beside PyTorch's eager ones, each with its gradient: the same sizes, the same number of threads."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from bench.timing import interleaved, report
from needle.backend_ndarray import NDArray, cpu, ndarray_backend_cpu
from needle.backend_ndarray.kernels import kernels

Pair = tuple[Callable[[], object], Callable[[], object]]
rng = np.random.default_rng(0)
k = kernels(NDArray([0.0], device=cpu()))


def both(*shape: int, scale: float = 1.0) -> tuple[NDArray, torch.Tensor]:
    """The same normal numbers for needle and, wanting a gradient, for torch."""
    x = (rng.standard_normal(shape) * scale).astype(np.float32)
    return NDArray(x, device=cpu()), torch.from_numpy(x).requires_grad_()


def whole_numbers(limit: int, *shape: int) -> tuple[NDArray, torch.Tensor]:
    x = rng.integers(0, limit, size=shape)
    return NDArray(x, device=cpu()), torch.from_numpy(x)


def batch_norm(rows: int, channels: int, side: int) -> Pair:
    """Channels last on both sides: torch's fast memory format for images."""
    (x, tx), (w, tw), (b, tb), (g, _) = both(rows, channels), both(channels), both(channels), both(rows, channels)
    shape = (rows // side**2, side, side, channels)
    images = tx.detach().reshape(shape).permute(0, 3, 1, 2).requires_grad_()
    gradient = torch.from_numpy(g.numpy()).reshape(shape).permute(0, 3, 1, 2)

    def ours() -> None:
        _, mean, var = k.batch_norm(x, w, b, 1e-5)
        k.batch_norm_gradient(g, x, w, mean, var, 1e-5)

    def peer() -> None:
        y = F.batch_norm(images, None, None, tw, tb, True, 0.1, 1e-5)
        torch.autograd.grad(y, (images, tw, tb), gradient)

    return ours, peer


def layer_norm(rows: int, width: int) -> Pair:
    (x, tx), (w, tw), (b, tb), (g, tg) = both(rows, width), both(width), both(width), both(rows, width)
    tg = tg.detach()

    def ours() -> None:
        _, mean, rstd = k.layer_norm(x, w, b, 1e-5)
        k.layer_norm_gradient(g, x, w, mean, rstd)

    return ours, lambda: torch.autograd.grad(F.layer_norm(tx, (width,), tw, tb), (tx, tw, tb), tg)


def cross_entropy(rows: int, classes: int) -> Pair:
    (x, tx), (labels, tlabels), one = both(rows, classes), whole_numbers(classes, rows), NDArray([1.0], device=cpu())

    def ours() -> None:
        k.cross_entropy(x, labels, 0.0)
        k.cross_entropy_gradient(one, x, labels, 0.0)

    return ours, lambda: torch.autograd.grad(F.cross_entropy(tx, tlabels), tx)


def softmax(rows: int, cols: int) -> Pair:
    (x, tx), (g, tg) = both(rows, cols), both(rows, cols)
    tg = tg.detach()
    return lambda: k.softmax_gradient(g, k.softmax(x)), lambda: torch.autograd.grad(F.softmax(tx, -1), tx, tg)


def lstm(steps: int, batch: int, hidden: int) -> Pair:
    """The whole layer, its input's product included on both sides."""
    (x, tx), (w_ih, _), (w_hh, _) = both(steps * batch, hidden), *(both(hidden, 4 * hidden, scale=0.05) for _ in "ih")
    (g, tg), zeros = both(steps, batch, hidden), NDArray(np.zeros((batch, hidden)), device=cpu())
    layer, sequence, tg = torch.nn.LSTM(hidden, hidden), tx.detach().reshape(steps, batch, hidden), tg.detach()
    weights = list(layer.parameters())

    def ours() -> None:
        gates = k.matmul(x, w_ih)
        saved = k.lstm(gates.reshape((steps, batch, 4 * hidden)), zeros, zeros, w_hh)
        d_gates = k.lstm_gradient(g, zeros, *saved, zeros, zeros, w_hh)[0].reshape((steps * batch, 4 * hidden))
        k.matmul(x.permute((1, 0)), d_gates)
        k.sum(d_gates, 0)

    return ours, lambda: torch.autograd.grad(layer(sequence)[0], weights, tg)


def attention(batch: int, heads: int, length: int, depth: int) -> Pair:
    shape = (batch, heads, length, depth)
    (q, tq), (key, tk), (v, tv), (g, tg) = both(*shape), both(*shape), both(*shape), both(*shape)
    tg, scale = tg.detach(), depth**-0.5

    def ours() -> None:
        out, lse = k.attention(q, key, v, scale, True)
        k.attention_gradient(g, q, key, v, out, lse, scale, True)

    def peer() -> None:
        torch.autograd.grad(F.scaled_dot_product_attention(tq, tk, tv, is_causal=True), (tq, tk, tv), tg)

    return ours, peer


def embedding(count: int, table: int, width: int) -> Pair:
    (ids, tids), (w, tw), (g, tg) = whole_numbers(table, count), both(table, width), both(count, width)
    tg = tg.detach()

    def ours() -> None:
        k.embedding(ids, w)
        k.embedding_gradient(g, ids, table)

    return ours, lambda: torch.autograd.grad(F.embedding(tids, tw), tw, tg)


def adam(size: int) -> Pair:
    (p, tp), (g, tg) = both(size), both(size)
    m, v = NDArray(np.zeros(size), device=cpu()), NDArray(np.zeros(size), device=cpu())
    optimizer = torch.optim.Adam([tp], lr=1e-3, fused=True)
    tp.grad = tg.detach()
    return lambda: k.adam_step([p], [g], [m], [v], 1, 1e-3), optimizer.step


CASES: dict[str, Callable[[], Pair]] = {
    "batch norm 8192x16": lambda: batch_norm(8192, 16, 8),
    "batch norm 2048x32": lambda: batch_norm(2048, 32, 4),
    "batch norm 512x64": lambda: batch_norm(512, 64, 2),
    "batch norm 128x128": lambda: batch_norm(128, 128, 1),
    "layer norm 2048x384": lambda: layer_norm(2048, 384),
    "cross entropy 128x10": lambda: cross_entropy(128, 10),
    "cross entropy 700x10000": lambda: cross_entropy(700, 10000),
    "softmax 2048x256": lambda: softmax(2048, 256),
    "LSTM T=35 B=20 H=200": lambda: lstm(35, 20, 200),
    "causal attention B=8 H=6 T=256 D=64": lambda: attention(8, 6, 256, 64),
    "embedding 700 of 10000x200": lambda: embedding(700, 10000, 200),
    "Adam 10 M": lambda: adam(10_000_000),
}


if __name__ == "__main__":
    torch.set_num_threads(ndarray_backend_cpu.num_threads())
    for name, case in CASES.items():
        if all(word in name for word in sys.argv[1:]):
            report(name, *interleaved(*case()), "torch")
