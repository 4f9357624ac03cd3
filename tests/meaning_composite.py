"""What the composite ops mean, in plain numpy; the meaning of their gradients is a slope, measured by differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray


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
    """The adjoints of `inputs`, given those of the first outputs of `forward`, by central differences."""

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
