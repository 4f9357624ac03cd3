"""Samples, meaning, PyTorch counterpart and refusals of the ops of matrix products and convolution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from needle import ops
from tests.case import Array, Case, Refusal, gathered, normal, torch


def matmul(op: Any, a: Array, b: Array) -> Array:
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = np.broadcast_to(a, (*lead, *a.shape[-2:])), np.broadcast_to(b, (*lead, *b.shape[-2:]))
    return gathered((*lead, a.shape[-2], b.shape[-1]), lambda i: sum(a[i[:-1]] * b[(*i[:-2], slice(None), i[-1])]))


def paddings(op: Any) -> tuple[int, int]:
    return op.padding if isinstance(op.padding, tuple) else (op.padding, op.padding)


def windows(op: Any, x: tuple[int, ...], y: tuple[int, ...], kernel: int) -> Any:
    """(index of x, index of y, tap) of every product of a convolution that does not meet the padding."""
    top, left = paddings(op)
    for n, i, j in np.ndindex(*y[:3]):
        for u, v in np.ndindex(kernel, kernel):
            a, b = i * op.stride + u * op.dilation - top, j * op.stride + v * op.dilation - left
            if 0 <= a < x[1] and 0 <= b < x[2]:
                yield (n, a, b), (n, i, j), (u, v)


def conv_shape(op: Any, x: tuple[int, ...], kernel: int, channels: int) -> tuple[int, ...]:
    reach = (kernel - 1) * op.dilation + 1
    sizes = [(n + 2 * p - reach) // op.stride + 1 for n, p in zip(x[1:3], paddings(op), strict=True)]
    return (x[0], *sizes, channels)


def shares(op: Any, inputs: int, outputs: int) -> list[tuple[slice, slice]]:
    """The input and the output channels of each group."""
    i, o = inputs // op.groups, outputs // op.groups
    return [(slice(k * i, (k + 1) * i), slice(k * o, (k + 1) * o)) for k in range(op.groups)]


def conv(op: Any, x: Array, w: Array) -> Array:
    out = np.zeros(conv_shape(op, x.shape, len(w), w.shape[3]))
    for here, there, tap in windows(op, x.shape, out.shape, len(w)):
        for i, o in shares(op, x.shape[3], w.shape[3]):
            out[there][o] += x[here][i] @ w[tap][:, o]
    return out


def conv_input_gradient(op: Any, g: Array, w: Array) -> Array:
    out = np.zeros((len(g), op.height, op.width, w.shape[2] * op.groups))
    for here, there, tap in windows(op, out.shape, g.shape, len(w)):
        for i, o in shares(op, out.shape[3], w.shape[3]):
            out[here][i] += w[tap][:, o] @ g[there][o]
    return out


def conv_weight_gradient(op: Any, x: Array, g: Array) -> Array:
    out = np.zeros((op.kernel, op.kernel, x.shape[3] // op.groups, g.shape[3]))
    for here, there, tap in windows(op, x.shape, g.shape, op.kernel):
        for i, o in shares(op, x.shape[3], g.shape[3]):
            out[tap][:, o] += np.outer(x[here][i], g[there][o])
    return out


def torch_conv(op: Any, x: Any, w: Any) -> Any:
    options = {"stride": op.stride, "padding": op.padding, "groups": op.groups, "dilation": op.dilation}
    y = torch.nn.functional.conv2d(x.permute(0, 3, 1, 2), w.permute(3, 2, 0, 1), **options)
    return y.permute(0, 2, 3, 1)


def torch_conv_transpose(op: Any, g: Any, w: Any) -> Any:
    """torch.nn.functional.conv_transpose2d, whose output_padding follows from the size of the result."""
    sizes, reach = (op.height, op.width), (len(w) - 1) * op.dilation + 1
    each = zip(sizes, g.shape[1:3], paddings(op), strict=True)
    more = tuple(size - (n - 1) * op.stride + 2 * p - reach for size, n, p in each)
    options = {"stride": op.stride, "padding": op.padding, "groups": op.groups, "dilation": op.dilation}
    y = torch.nn.functional.conv_transpose2d(
        g.permute(0, 3, 1, 2), w.permute(3, 2, 0, 1), output_padding=more, **options
    )
    return y.permute(0, 2, 3, 1)


# image, kernel, stride, padding, groups, dilation, input channels of a group, output channels of a group
GROUPED: list[Any] = [
    ((5, 4), 3, 1, 1, 3, 1, 1, 1), ((6, 5), 3, 2, 1, 2, 1, 1, 1), ((5, 6), 4, 3, 2, 2, 1, 1, 1),  # one channel each
    ((6, 5), 3, 1, (2, 1), 2, 2, 1, 1), ((5, 5), 2, 2, 0, 3, 2, 1, 1), ((1, 1), 3, 1, 1, 2, 1, 1, 1),
    ((5, 4), 3, 1, 1, 2, 1, 2, 3), ((6, 5), 2, 2, 0, 3, 1, 1, 2), ((4, 4), 1, 1, 0, 2, 1, 3, 2),
    ((6, 6), 3, 1, 2, 1, 2, 2, 2), ((7, 6), 3, 2, (0, 1), 2, 1, 2, 1), ((7, 5), 2, 3, (1, 3), 1, 3, 1, 2),
]  # fmt: skip


def grouped() -> list[Case]:
    """Each of `GROUPED` for the convolution and for its two gradients."""
    cases = []
    for size, k, stride, padding, groups, dilation, i, o in GROUPED:
        op = ops.Conv(stride, padding, groups, dilation)
        x, w = normal(2, *size, i * groups), normal(k, k, i, o * groups)
        g = normal(*conv_shape(op, x.shape, k, o * groups))
        cases += [
            Case(op, (x, w)),
            Case(ops.ConvInputGradient(stride, padding, *size, groups, dilation), (g, w)),
            Case(ops.ConvWeightGradient(stride, padding, k, groups, dilation), (x, g)),
        ]
    return cases


CASES: list[Case] = [
    *(
        Case(ops.MatMul(), (normal(*a), normal(*b)))
        for a, b in [
            ((3, 4), (4, 2)), ((1, 1), (1, 1)), ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5)), ((2, 3, 4), (2, 4, 5)),
            ((2, 1, 3, 4), (3, 4, 2)), ((1, 3, 4), (2, 4, 2)), ((0, 4), (4, 2)), ((2, 0), (0, 3)), ((2, 3, 0), (0, 2)),
        ]
    ),
    *(
        Case(ops.Conv(stride, padding), (normal(2, *size, 2), normal(k, k, 2, 3)))
        for size, k, stride, padding in [
            ((5, 5), 3, 1, 0), ((5, 5), 3, 1, 1), ((6, 5), 3, 2, 1), ((7, 6), 3, 3, 0), ((4, 4), 1, 1, 0),
            ((5, 4), 1, 2, 0), ((6, 6), 2, 2, 0), ((5, 6), 4, 3, 2), ((1, 1), 3, 1, 1), ((2, 2), 2, 1, 3),
        ]
    ),
    Case(ops.Conv(1, 1), (normal(0, 4, 4, 2), normal(3, 3, 2, 2))),
    *grouped(),
    Case(ops.ConvInputGradient(1, 1, 4, 5), (normal(2, 4, 5, 3), normal(3, 3, 2, 3))),
    Case(ops.ConvInputGradient(2, 1, 6, 5), (normal(2, 3, 3, 3), normal(3, 3, 2, 3))),
    Case(ops.ConvInputGradient(3, 0, 7, 8), (normal(1, 2, 2, 2), normal(3, 3, 1, 2))),
    Case(ops.ConvWeightGradient(1, 1, 3), (normal(2, 4, 5, 2), normal(2, 4, 5, 3))),
    Case(ops.ConvWeightGradient(2, 1, 3), (normal(2, 6, 5, 2), normal(2, 3, 3, 3))),
    Case(ops.ConvWeightGradient(3, 0, 3), (normal(1, 7, 8, 1), normal(1, 2, 2, 2))),
]  # fmt: skip

MEANING: dict[type, Callable[..., Any]] = {
    ops.MatMul: matmul,
    ops.Conv: conv,
    ops.ConvInputGradient: conv_input_gradient,
    ops.ConvWeightGradient: conv_weight_gradient,
}

TORCH: dict[type, Callable[..., Any]] = {
    ops.MatMul: lambda op, a, b: a @ b,
    ops.Conv: torch_conv,
    ops.ConvInputGradient: torch_conv_transpose,
}

REFUSALS: list[Refusal] = [
    (ops.MatMul(), ((2, 3), (2, 3)), r"\[matmul\] inner sizes must agree, got \(2, 3\) @ \(2, 3\)"),
    (ops.MatMul(), ((3,), (3, 2)), r"\[matmul\] needs at least 2 axes each, got \(3,\) @ \(3, 2\)"),
    (ops.MatMul(), ((2, 3, 4), (3, 4, 5)), r"\[matmul\] shapes must be equal or broadcast, got \(2,\) and \(3,\)"),
    (ops.Conv(), ((1, 4, 4, 2), (3, 3, 3, 1)), r"\[conv\] channels must agree"),
    (ops.Conv(), ((1, 2, 4, 2), (3, 3, 2, 1)), r"\[conv\] kernel 3 does not fit \(1, 2, 4, 2\) with padding 0"),
    (ops.Conv(0), ((1, 4, 4, 2), (3, 3, 2, 1)), r"\[conv\] needs kernel, stride >= 1, padding >= 0, got 3, 0, 0"),
    (ops.Conv(), ((4, 4, 2), (3, 3, 2, 1)), r"\[conv\] needs images \(N, H, W, C\) and a square weight"),
    (ops.Conv(1, 0, 2), ((1, 4, 4, 4), (3, 3, 4, 4)), r"\[conv\] channels must agree, got x .*, w \(K, K, C / 2, O\)"),
    (ops.Conv(1, 0, 0), ((1, 4, 4, 4), (3, 3, 4, 4)), r"\[conv\] needs groups and dilation of 1 or more, got 0 and 1"),
    (ops.Conv(1, 0, 1, 2), ((1, 4, 5, 2), (3, 3, 2, 1)), r"\[conv\] kernel 5 does not fit \(1, 4, 5, 2\)"),
    (ops.ConvInputGradient(1, 0, 4, 4), ((1, 3, 3, 1), (3, 3, 2, 1)), r"\[conv_input_gradient\] needs g \(N, 2, 2"),
    (ops.ConvWeightGradient(1, 0, 3), ((1, 4, 4, 2), (1, 3, 3, 1)), r"\[conv_weight_gradient\] needs g \(1, 2, 2, C\)"),
]  # fmt: skip
