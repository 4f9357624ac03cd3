"""What each op means, in plain numpy: loops and textbook formulas, written apart from the ops' own code.

`MEANING[OpClass](op, *arrays)` takes and returns float64 arrays (a tuple of them where the op has several outputs).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from needle import ops

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
    return gathered(tuple(x.shape[a] for a in axes), lambda index: x[tuple(index[axes.index(a)] for a in range(x.ndim))])


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


def softmax(_: Any, x: Array) -> Array:
    e = np.exp(x - x.max()) if x.size else x
    return e / e.sum(axis=-1, keepdims=True)


def softmax_gradient(_: Any, g: Array, y: Array) -> Array:
    out = np.zeros_like(y)
    for row in np.ndindex(*y.shape[:-1]):
        out[row] = (np.diag(y[row]) - np.outer(y[row], y[row])) @ g[row]  # the Jacobian of softmax
    return out


def logsoftmax_gradient(_: Any, g: Array, y: Array) -> Array:
    out = np.zeros_like(y)
    for row in np.ndindex(*y.shape[:-1]):
        out[row] = (np.eye(y.shape[-1]) - np.outer(np.exp(y[row]), np.ones(y.shape[-1]))) @ g[row]
    return out


def cross_entropy(op: Any, logits: Array, labels: Array) -> Array:
    probability, classes = softmax(op, logits), logits.shape[1]
    loss = 0.0
    for row, label in zip(probability, labels, strict=True):
        for k in range(classes):
            target = (1 - op.smoothing) * (k == label) + op.smoothing / classes
            loss -= target * np.log(row[k]) / len(labels)
    return np.asarray(loss)


def batch_norm(op: Any, x: Array, weight: Array, bias: Array) -> tuple[Array, ...]:
    rows = x.reshape(-1, x.shape[-1])
    mean = np.array([sum(channel) / len(rows) for channel in rows.T])
    var = np.array([sum((channel - m) ** 2) / len(rows) for channel, m in zip(rows.T, mean, strict=True)])
    return batch_norm_inference(op, x, weight, bias, mean, var), mean, var


def batch_norm_inference(op: Any, x: Array, weight: Array, bias: Array, mean: Array, var: Array) -> Array:
    channel = range(x.shape[-1])
    columns = [(x[..., c] - mean[c]) / np.sqrt(var[c] + op.eps) * weight[c] + bias[c] for c in channel]
    return np.stack(columns, axis=-1)


def layer_norm(op: Any, x: Array, weight: Array, bias: Array) -> tuple[Array, ...]:
    y, mean, rstd = np.zeros_like(x), np.zeros((*x.shape[:-1], 1)), np.zeros((*x.shape[:-1], 1))
    for row in np.ndindex(*x.shape[:-1]):
        mean[row] = sum(x[row]) / len(x[row])
        rstd[row] = 1 / np.sqrt(sum((x[row] - mean[row]) ** 2) / len(x[row]) + op.eps)
        y[row] = (x[row] - mean[row]) * rstd[row] * weight + bias
    return y, mean, rstd


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


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


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


def by_differences(forward: Callable[..., Any], grads: tuple[Array, ...], inputs: tuple[Array, ...]) -> list[Array]:
    """The adjoints of `inputs`, given those of the first outputs of `forward`: central differences, element by element."""

    def loss() -> float:
        outputs = forward(*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return sum(float((np.asarray(g) * y).sum()) for g, y in zip(grads, outputs, strict=False))

    inputs, found = tuple(np.array(x, dtype=float) for x in inputs), []
    for x in inputs:
        found.append(np.zeros(x.shape))
        for index in np.ndindex(*x.shape):
            kept, eps = x[index], 1e-5
            x[index] = kept + eps
            above = loss()
            x[index] = kept - eps
            found[-1][index] = (above - loss()) / (2 * eps)
            x[index] = kept
    return found


def cross_entropy_gradient(op: Any, g: Array, logits: Array, labels: Array) -> Array:
    return by_differences(lambda x: cross_entropy(op, x, labels), (g.reshape(()),), (logits,))[0]


def batch_norm_gradient(op: Any, g: Array, x: Array, weight: Array, *_: Array) -> tuple[Array, ...]:
    return tuple(by_differences(lambda *a: batch_norm(op, *a), (g,), (x, weight, np.zeros_like(weight))))


def layer_norm_gradient(op: Any, g: Array, x: Array, weight: Array, *_: Array) -> tuple[Array, ...]:
    return tuple(by_differences(lambda *a: layer_norm(op, *a), (g,), (x, weight, np.zeros_like(weight))))


def lstm_gradient(op: Any, g: Array, d_cell: Array, *arrays: Array) -> tuple[Array, ...]:
    return tuple(by_differences(lambda *a: lstm(op, *a), (g, d_cell), arrays[:4]))


def attention_gradient(op: Any, g: Array, q: Array, k: Array, v: Array, *_: Array) -> tuple[Array, ...]:
    return tuple(by_differences(lambda *a: attention(op, *a), (g,), (q, k, v)))


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
