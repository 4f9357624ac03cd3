"""The fused kernels beside PyTorch's eager ones, each with its gradient: the same sizes, the same number of threads."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from bench.timing import interleaved, report
from needle.backend_ndarray import NDArray, cpu, ndarray_backend_cpu
from needle.backend_ndarray.bands import linear, sliding
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


def ignoring_cross_entropy(rows: int, classes: int) -> Pair:
    """A third of the rows is ignored."""
    (x, tx), (labels, tlabels), one = both(rows, classes), whole_numbers(classes, rows), NDArray([1.0], device=cpu())
    tlabels[::3] = -100
    labels = NDArray(tlabels.numpy(), device=cpu())

    def ours() -> None:
        k.cross_entropy(x, labels, 0.0, -100)
        k.cross_entropy_gradient(one, x, labels, 0.0, -100)

    return ours, lambda: torch.autograd.grad(F.cross_entropy(tx, tlabels), tx)


def activation(name: str, *shape: int) -> Pair:
    (x, tx), (g, tg), forward, backward = both(*shape), both(*shape), getattr(k, name), getattr(k, name + "_gradient")
    theirs, tg, options = getattr(F, name), tg.detach(), (0.01,) if name == "leaky_relu" else ()

    def ours() -> None:
        forward(x, *options)
        backward(g, x, *options)

    return ours, lambda: torch.autograd.grad(theirs(tx), tx, tg)


def reduction(name: str, axis: int, *shape: int) -> Pair:
    """One reduction over an axis, without its gradient."""
    x, tx = both(*shape)
    ours, theirs, tx = getattr(k, name), getattr(torch, {"max": "amax"}.get(name, name)), tx.detach()
    return lambda: ours(x, (axis,), False), lambda: theirs(tx, axis)


def maximum_gradient(axis: int, *shape: int) -> Pair:
    x, tx = both(*shape)
    y = k.max(x, (axis,), True)
    g, tg = NDArray(np.ones(y.shape), device=cpu()), torch.ones(y.shape)

    def ours() -> None:
        k.max(x, (axis,), True)
        k.extremum_gradient(g, x, y, (axis,))

    return ours, lambda: torch.autograd.grad(torch.amax(tx, axis, True), tx, tg)


def squared_error(*shape: int) -> Pair:
    (x, tx), (y, ty), one = both(*shape), both(*shape), NDArray([1e-3], device=cpu())
    ty = ty.detach()

    def ours() -> None:
        k.mean(k.squared_difference(x, y))
        k.squared_difference_gradient(one.broadcast_to(x.shape), x, y)

    return ours, lambda: torch.autograd.grad(F.mse_loss(tx, ty), tx)


def where(*shape: int) -> Pair:
    (a, ta), (b, tb) = both(*shape), both(*shape)
    mask = torch.from_numpy(rng.random(shape) < 0.5)
    ours, ta, tb = NDArray(mask.numpy(), device=cpu()), ta.detach(), tb.detach()
    return lambda: k.where(ours, a, b), lambda: torch.where(mask, ta, tb)


def gather(rows: int, cols: int) -> Pair:
    """One element of each row."""
    (x, tx), (ids, tids) = both(rows, cols), whole_numbers(cols, rows, 1)
    (g, tg), tids = both(rows, 1), tids.long()
    tg = tg.detach()

    def ours() -> None:
        k.gather(x, ids, 1)
        k.gather_gradient(g, ids, 1, cols)

    return ours, lambda: torch.autograd.grad(torch.gather(tx, 1, tids), tx, tg)


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


def gru(steps: int, batch: int, hidden: int) -> Pair:
    """The whole layer, its input's product included on both sides."""
    (x, tx), (w_ih, _), (w_hh, _) = both(steps * batch, hidden), *(both(hidden, 3 * hidden, scale=0.05) for _ in "ih")
    (g, tg), bias, h0 = both(steps, batch, hidden), *(NDArray(np.zeros(s)) for s in (3 * hidden, (batch, hidden)))
    layer, sequence, tg = torch.nn.GRU(hidden, hidden), tx.detach().reshape(steps, batch, hidden), tg.detach()
    weights = list(layer.parameters())

    def ours() -> None:
        gates = k.matmul(x, w_ih)
        saved = k.gru(gates.reshape((steps, batch, 3 * hidden)), h0, w_hh, bias)
        d_gates = k.gru_gradient(g, *saved, h0, w_hh)[0].reshape((steps * batch, 3 * hidden))
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


def images(batch: int, side: int, channels: int) -> tuple[NDArray, torch.Tensor]:
    """Images with their channels side by side on both sides; torch's seen as (N, C, H, W)."""
    x, tx = both(batch, side, side, channels)
    return x, tx.detach().permute(0, 3, 1, 2).requires_grad_()


def pool(
    batch: int, side: int, channels: int, largest: bool, kernel: int = 2, stride: int = 2, padding: int = 0
) -> Pair:
    """Maxima or means over windows."""
    (x, tx), windows = images(batch, side, channels), sliding(side, kernel, stride, padding)
    g, tg = images(batch, windows.outputs, channels)
    tg, function = tg.detach(), F.max_pool2d if largest else F.avg_pool2d

    def ours() -> None:
        if largest:
            k.max_pool(x, x, windows, windows)
            k.max_pool_gradient(g, x, windows, windows)
        else:
            k.resample(x, windows, windows)
            k.resample(g, windows.transposed, windows.transposed)

    return ours, lambda: torch.autograd.grad(function(tx, kernel, stride, padding), tx, tg)


def upsample(batch: int, side: int, channels: int) -> Pair:
    """Bilinear, to twice the size."""
    (x, tx), (g, tg), lines = images(batch, side, channels), images(batch, 2 * side, channels), linear(side, 2 * side)
    tg = tg.detach()

    def ours() -> None:
        k.resample(x, lines, lines)
        k.resample(g, lines.transposed, lines.transposed)

    return ours, lambda: torch.autograd.grad(F.interpolate(tx, scale_factor=2, mode="bilinear"), tx, tg)


def group_norm(batch: int, side: int, channels: int, groups: int) -> Pair:
    (x, tx), (g, tg) = images(batch, side, channels), images(batch, side, channels)
    (w, tw), (b, tb), tg = both(channels), both(channels), tg.detach()

    def ours() -> None:
        _, mean, rstd = k.group_norm(x, w, b, groups)
        k.group_norm_gradient(g, x, w, mean, rstd, groups)

    return ours, lambda: torch.autograd.grad(F.group_norm(tx, groups, tw, tb), (tx, tw, tb), tg)


def rms_norm(rows: int, width: int) -> Pair:
    (x, tx), (w, tw), (g, tg) = both(rows, width), both(width), both(rows, width)
    tg = tg.detach()
    return (
        lambda: k.rms_norm_gradient(g, x, w, k.rms_norm(x, w, 1e-5)[1]),
        lambda: torch.autograd.grad(F.rms_norm(tx, (width,), tw, 1e-5), (tx, tw), tg),
    )


def grouped(batch: int, side: int, channels: int, groups: int, stride: int = 1) -> Pair:
    """A 3x3 convolution in groups; groups = channels is the depthwise one."""
    (x, tx), (w, tw) = images(batch, side, channels), both(3, 3, channels // groups, channels)
    g, tg = images(batch, (side - 1) // stride + 1, channels)
    tw, tg = tw.detach().permute(3, 2, 0, 1).contiguous().requires_grad_(), tg.detach()

    def ours() -> None:
        k.grouped_conv(x, w, stride, (1, 1), groups, 1)
        k.grouped_conv_input_gradient(g, w, stride, (1, 1), side, side, groups, 1)
        k.grouped_conv_weight_gradient(x, g, stride, (1, 1), 3, groups, 1)

    return ours, lambda: torch.autograd.grad(F.conv2d(tx, tw, None, stride, 1, 1, groups), (tx, tw), tg)


CASES: dict[str, Callable[[], Pair]] = {
    "batch norm 8192x16": lambda: batch_norm(8192, 16, 8),
    "batch norm 2048x32": lambda: batch_norm(2048, 32, 4),
    "batch norm 512x64": lambda: batch_norm(512, 64, 2),
    "batch norm 128x128": lambda: batch_norm(128, 128, 1),
    "layer norm 2048x384": lambda: layer_norm(2048, 384),
    "cross entropy 128x10": lambda: cross_entropy(128, 10),
    "cross entropy 700x10000": lambda: cross_entropy(700, 10000),
    "cross entropy 4096x1000, a third ignored": lambda: ignoring_cross_entropy(4096, 1000),
    "GELU 2048x1536": lambda: activation("gelu", 2048, 1536),
    "SiLU 2048x1536": lambda: activation("silu", 2048, 1536),
    "leaky ReLU 2048x1536": lambda: activation("leaky_relu", 2048, 1536),
    "mean 2048x1536, last axis": lambda: reduction("mean", 1, 2048, 1536),
    "mean 2048x1536, first axis": lambda: reduction("mean", 0, 2048, 1536),
    "max 2048x1536, last axis": lambda: reduction("max", 1, 2048, 1536),
    "max 2048x1536, first axis": lambda: reduction("max", 0, 2048, 1536),
    "variance 2048x1536, last axis": lambda: reduction("var", 1, 2048, 1536),
    "max and its gradient 2048x1536": lambda: maximum_gradient(1, 2048, 1536),
    "squared error 2048x1536": lambda: squared_error(2048, 1536),
    "where 2048x1536": lambda: where(2048, 1536),
    "gather 8192x512": lambda: gather(8192, 512),
    "softmax 2048x256": lambda: softmax(2048, 256),
    "LSTM T=35 B=20 H=200": lambda: lstm(35, 20, 200),
    "GRU T=35 B=20 H=200": lambda: gru(35, 20, 200),
    "causal attention B=8 H=6 T=256 D=64": lambda: attention(8, 6, 256, 64),
    "embedding 700 of 10000x200": lambda: embedding(700, 10000, 200),
    "max pool 2x2 of 64x32x32x64": lambda: pool(64, 32, 64, True),
    "max pool 3x3 stride 2 of 16x56x56x64": lambda: pool(16, 56, 64, True, 3, 2, 1),
    "mean pool 2x2 of 64x32x32x64": lambda: pool(64, 32, 64, False),
    "mean of 64x8x8x512": lambda: pool(64, 8, 512, False, 8, 8),
    "bilinear upsampling of 16x16x16x128": lambda: upsample(16, 16, 128),
    "group norm of 32x16x16x128 in 32": lambda: group_norm(32, 16, 128, 32),
    "RMS norm 2048x384": lambda: rms_norm(2048, 384),
    "depthwise 3x3 of 16x28x28x192": lambda: grouped(16, 28, 192, 192),
    "depthwise 3x3 stride 2 of 16x28x28x192": lambda: grouped(16, 28, 192, 192, 2),
    "3x3 in 32 groups of 16x14x14x256": lambda: grouped(16, 14, 256, 32),
    "3x3 in 2 groups of 16x28x28x128": lambda: grouped(16, 28, 128, 2),
    "Adam 10 M": lambda: adam(10_000_000),
}


if __name__ == "__main__":
    torch.set_num_threads(ndarray_backend_cpu.num_threads())
    for name, case in CASES.items():
        if all(word in name for word in sys.argv[1:]):
            report(name, *interleaved(*case()), "torch")
