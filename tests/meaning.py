"""What each op means, in plain numpy: loops and textbook formulas, written apart from the ops' own code.

`MEANING[OpClass](op, *arrays)` takes and returns float64 arrays (a tuple of them where the op has several outputs).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from needle import ops
from tests.meaning_composite import (
    attention,
    attention_gradient,
    batch_norm,
    batch_norm_gradient,
    batch_norm_inference,
    cross_entropy,
    cross_entropy_gradient,
    embed,
    embed_gradient,
    layer_norm,
    layer_norm_gradient,
    logsoftmax_gradient,
    lstm,
    lstm_gradient,
    sigmoid,
    softmax,
    softmax_gradient,
)

Array = np.ndarray


def gathered(shape: tuple[int, ...], source: Callable[[tuple[int, ...]], Any]) -> Array:
    """The array whose element at each index is source(index)."""
    out = np.zeros(shape)
    for index in np.ndindex(*shape):
        out[index] = source(index)
    return out


def axes_of(axes: Any, ndim: int) -> tuple[int, ...]:
    given = range(ndim) if axes is None else [axes] if isinstance(axes, int) else axes
    return tuple(axis + ndim if axis < 0 else axis for axis in given)


def transpose(op: Any, x: Array) -> Array:
    i, j = axes_of(op.axes or (-2, -1), x.ndim)
    order = list(range(x.ndim))
    order[i], order[j] = j, i
    return permute(ops.Permute(tuple(order)), x)


def permute(op: Any, x: Array) -> Array:
    axes = axes_of(op.axes, x.ndim)
    shape = tuple(x.shape[a] for a in axes)
    return gathered(shape, lambda index: x[tuple(index[axes.index(a)] for a in range(x.ndim))])


def reshape(op: Any, x: Array) -> Array:
    known = int(np.prod([n for n in op.shape if n != -1]))
    shape = tuple(x.size // known if n == -1 else n for n in op.shape)
    out = np.zeros(shape)
    for there, here in zip(np.ndindex(*shape), np.ndindex(*x.shape), strict=True):
        out[there] = x[here]
    return out


def broadcast_to(op: Any, x: Array) -> Array:
    extra = len(op.shape) - x.ndim
    return gathered(op.shape, lambda i: x[tuple(0 if n == 1 else i[extra + k] for k, n in enumerate(x.shape))])


def summation(op: Any, x: Array) -> Array:
    axes = axes_of(op.axes, x.ndim)
    out = np.zeros([n for i, n in enumerate(x.shape) if i not in axes])
    for index in np.ndindex(*x.shape):
        out[tuple(k for i, k in enumerate(index) if i not in axes)] += x[index]
    return out


def stack(op: Any, parts: tuple[Array, ...]) -> Array:
    shape = list(parts[0].shape)
    axis = op.axis % (len(shape) + 1)
    shape.insert(axis, len(parts))
    return gathered(tuple(shape), lambda i: parts[i[axis]][i[:axis] + i[axis + 1 :]])


def split(op: Any, x: Array) -> tuple[Array, ...]:
    return tuple(np.take(x, k, axis=op.axis) for k in range(x.shape[op.axis]))


def flip(op: Any, x: Array) -> Array:
    axes = axes_of(op.axes, x.ndim)
    return gathered(x.shape, lambda i: x[tuple(x.shape[a] - 1 - k if a in axes else k for a, k in enumerate(i))])


def dilate(op: Any, x: Array) -> Array:
    step, axes = op.dilation + 1, axes_of(op.axes, x.ndim)
    out = np.zeros([n * step if a in axes else n for a, n in enumerate(x.shape)])
    for index in np.ndindex(*x.shape):
        out[tuple(k * step if a in axes else k for a, k in enumerate(index))] = x[index]
    return out


def undilate(op: Any, x: Array) -> Array:
    step, axes = op.dilation + 1, axes_of(op.axes, x.ndim)
    shape = tuple(n // step if a in axes else n for a, n in enumerate(x.shape))
    return gathered(shape, lambda i: x[tuple(k * step if a in axes else k for a, k in enumerate(i))])


def matmul(op: Any, a: Array, b: Array) -> Array:
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = np.broadcast_to(a, (*lead, *a.shape[-2:])), np.broadcast_to(b, (*lead, *b.shape[-2:]))
    return gathered((*lead, a.shape[-2], b.shape[-1]), lambda i: sum(a[i[:-1]] * b[(*i[:-2], slice(None), i[-1])]))


def windows(op: Any, x: tuple[int, ...], y: tuple[int, ...], kernel: int) -> Any:
    """(index of x, index of y, tap) of every product of a convolution that does not meet the padding."""
    for n, i, j in np.ndindex(*y[:3]):
        for u, v in np.ndindex(kernel, kernel):
            a, b = i * op.stride + u - op.padding, j * op.stride + v - op.padding
            if 0 <= a < x[1] and 0 <= b < x[2]:
                yield (n, a, b), (n, i, j), (u, v)


def conv_shape(op: Any, x: tuple[int, ...], kernel: int, channels: int) -> tuple[int, ...]:
    sizes = [(n + 2 * op.padding - kernel) // op.stride + 1 for n in x[1:3]]
    return (x[0], *sizes, channels)


def conv(op: Any, x: Array, w: Array) -> Array:
    out = np.zeros(conv_shape(op, x.shape, len(w), w.shape[3]))
    for here, there, tap in windows(op, x.shape, out.shape, len(w)):
        out[there] += x[here] @ w[tap]
    return out


def conv_input_gradient(op: Any, g: Array, w: Array) -> Array:
    out = np.zeros((len(g), op.height, op.width, w.shape[2]))
    for here, there, tap in windows(op, out.shape, g.shape, len(w)):
        out[here] += w[tap] @ g[there]
    return out


def conv_weight_gradient(op: Any, x: Array, g: Array) -> Array:
    out = np.zeros((op.kernel, op.kernel, x.shape[3], g.shape[3]))
    for here, there, tap in windows(op, x.shape, g.shape, op.kernel):
        out[tap] += np.outer(x[here], g[there])
    return out


def log_sum_exp(op: Any, x: Array) -> Array:
    top = x.max() if x.size else 0.0
    return np.log(summation(op, np.exp(x - top))) + top


MEANING: dict[type, Callable[..., Any]] = {
    ops.EWiseAdd: lambda op, a, b: a + b,
    ops.AddScalar: lambda op, a: a + op.scalar,
    ops.EWiseMul: lambda op, a, b: a * b,
    ops.MulScalar: lambda op, a: a * op.scalar,
    ops.EWisePow: lambda op, a, b: np.exp(b * np.log(a)),
    ops.PowerScalar: lambda op, a: np.vectorize(lambda x: float(x) ** op.scalar, otypes=[float])(a),
    ops.EWiseDiv: lambda op, a, b: a * (1 / b),
    ops.DivScalar: lambda op, a: a * (1 / op.scalar),
    ops.Negate: lambda op, a: 0.0 - a,
    ops.Log: lambda op, a: np.log2(a) / np.log2(np.e),
    ops.Exp: lambda op, a: np.power(np.e, a),
    ops.ReLU: lambda op, a: (a + abs(a)) / 2,
    ops.ReLUGradient: lambda op, g, a: g * (a > 0),
    ops.Tanh: lambda op, a: 1 - 2 / (np.exp(2 * a) + 1),
    ops.TanhGradient: lambda op, g, y: g - g * y**2,
    ops.Sigmoid: lambda op, a: sigmoid(a),
    ops.SigmoidGradient: lambda op, g, y: g * y - g * y**2,
    ops.Transpose: transpose,
    ops.Permute: permute,
    ops.Reshape: reshape,
    ops.BroadcastTo: broadcast_to,
    ops.Summation: summation,
    ops.Stack: stack,
    ops.Split: split,
    ops.Flip: flip,
    ops.Dilate: dilate,
    ops.UnDilate: undilate,
    ops.MatMul: matmul,
    ops.Conv: conv,
    ops.ConvInputGradient: conv_input_gradient,
    ops.ConvWeightGradient: conv_weight_gradient,
    ops.LogSumExp: log_sum_exp,
    ops.Softmax: softmax,
    ops.SoftmaxGradient: softmax_gradient,
    ops.LogSoftmax: lambda op, x: np.log(softmax(op, x)),
    ops.LogSoftmaxGradient: logsoftmax_gradient,
    ops.CrossEntropy: cross_entropy,
    ops.CrossEntropyGradient: cross_entropy_gradient,
    ops.BatchNorm: batch_norm,
    ops.BatchNormGradient: batch_norm_gradient,
    ops.BatchNormInference: batch_norm_inference,
    ops.LayerNorm: layer_norm,
    ops.LayerNormGradient: layer_norm_gradient,
    ops.Embed: embed,
    ops.EmbedGradient: embed_gradient,
    ops.LSTM: lstm,
    ops.LSTMGradient: lstm_gradient,
    ops.Attention: attention,
    ops.AttentionGradient: attention_gradient,
    ops.MakeTensorTuple: lambda op, *parts: parts,
    ops.TupleGetItem: lambda op, parts: parts[op.index],
    ops.FusedAddScalars: lambda op, a: (a + op.c0, a + op.c1),
}
