"""Normalisations and softmax, each with its gradient."""

from __future__ import annotations

from bench.case import Run, Sides
from bench.cases.data import k, normal, normals, pytorch


def batch_norm(rows: int, channels: int, side: int) -> Sides:
    """Images of side x side pixels, channels last on both sides: torch's fast memory format for images."""
    x, g = normals((rows, channels), (rows, channels))
    w, b = normals((channels,), (channels,))

    def ours() -> None:
        _, mean, var = k.batch_norm(x, w, b, 1e-5)
        k.batch_norm_gradient(g, x, w, mean, var, 1e-5)

    def peer() -> Run:
        t = pytorch()
        shape = (rows // side**2, side, side, channels)
        tx, tg, (tw, tb) = t.images(x.reshape(shape)).requires_grad_(), t.images(g.reshape(shape)), t.leaves(w, b)
        return lambda: t.grad(t.F.batch_norm(tx, None, None, tw, tb, True, 0.1, 1e-5), (tx, tw, tb), tg)

    return Sides(ours, {"PyTorch": peer})


def layer_norm(rows: int, width: int) -> Sides:
    x, w, b, g = normals((rows, width), (width,), (width,), (rows, width))

    def ours() -> None:
        _, mean, rstd = k.layer_norm(x, w, b, 1e-5)
        k.layer_norm_gradient(g, x, w, mean, rstd)

    def peer() -> Run:
        t = pytorch()
        (tx, tw, tb), tg = t.leaves(x, w, b), t.tensor(g)
        return lambda: t.grad(t.F.layer_norm(tx, (width,), tw, tb), (tx, tw, tb), tg)

    return Sides(ours, {"PyTorch": peer})


def group_norm(batch: int, side: int, channels: int, groups: int) -> Sides:
    x, g = normal(batch, side, side, channels), normal(batch, side, side, channels)
    w, b = normal(channels), normal(channels)

    def ours() -> None:
        _, mean, rstd = k.group_norm(x, w, b, groups)
        k.group_norm_gradient(g, x, w, mean, rstd, groups)

    def peer() -> Run:
        t = pytorch()
        tx, tg, (tw, tb) = t.images(x).requires_grad_(), t.images(g), t.leaves(w, b)
        return lambda: t.grad(t.F.group_norm(tx, groups, tw, tb), (tx, tw, tb), tg)

    return Sides(ours, {"PyTorch": peer})


def rms_norm(rows: int, width: int) -> Sides:
    x, w, g = normals((rows, width), (width,), (rows, width))

    def ours() -> None:
        k.rms_norm_gradient(g, x, w, k.rms_norm(x, w, 1e-5)[1])

    def peer() -> Run:
        t = pytorch()
        (tx, tw), tg = t.leaves(x, w), t.tensor(g)
        return lambda: t.grad(t.F.rms_norm(tx, (width,), tw, 1e-5), (tx, tw), tg)

    return Sides(ours, {"PyTorch": peer})


def softmax(rows: int, cols: int) -> Sides:
    x, g = normal(rows, cols), normal(rows, cols)

    def peer() -> Run:
        t = pytorch()
        (tx,), tg = t.leaves(x), t.tensor(g)
        return lambda: t.grad(t.F.softmax(tx, -1), tx, tg)

    return Sides(lambda: k.softmax_gradient(g, k.softmax(x)), {"PyTorch": peer})
