"""LSTM, attention and embedding on numpy arrays of any float dtype."""

from __future__ import annotations

import numpy as np

from needle.backend_ndarray.plain.softmax import indices, logsumexp
from needle.errors import ShapeError


def lstm(
    gates: np.ndarray, h0: np.ndarray, c0: np.ndarray, W_hh: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """i, f, g, o = gates_t + h W_hh; c = sigmoid(f) c + sigmoid(i) tanh(g); h = sigmoid(o) tanh(c), for t = 0..T-1.

    gates (T, B, 4H) hold x W_ih and the biases; h0, c0 (B, H), W_hh (H, 4H). Returns h (T, B, H) and c (T, B, H) of
    every step, and the gates after their activations (T, B, 4H).
    """
    steps, batch, hidden = gates.shape[0], *h0.shape
    act = np.empty_like(gates)
    out = np.empty((steps, batch, hidden), dtype=gates.dtype)
    cells = np.empty_like(out)
    h, c = h0, c0
    for t in range(steps):
        z = act[t]
        z[...] = gates[t] + h @ W_hh
        candidate = np.tanh(z[:, 2 * hidden : 3 * hidden])
        z[...] = _sigmoid(z)
        z[:, 2 * hidden : 3 * hidden] = candidate
        i, f, g, o = np.split(z, 4, axis=1)
        c = f * c + i * g
        h = o * np.tanh(c)
        out[t], cells[t] = h, c
    return out, cells, act


def lstm_gradient(
    d_out: np.ndarray, d_c_last: np.ndarray, out: np.ndarray, c_all: np.ndarray, act: np.ndarray,
    h0: np.ndarray, c0: np.ndarray, W_hh: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """The gradients of `lstm` back through time: d_gates (T, B, 4H), dh0, dc0 (B, H), dW_hh (H, 4H).

    d_out (T, B, H) is the gradient of every step's h, d_c_last (B, H) that of the last c.
    """
    d_gates = np.empty_like(act)
    dh, dc = np.zeros_like(h0), d_c_last
    for t in reversed(range(len(out))):
        i, f, g, o = np.split(act[t], 4, axis=1)
        tanh_c = np.tanh(c_all[t])
        dh = dh + d_out[t]
        dc = dc + dh * o * (1 - tanh_c * tanh_c)
        before = c_all[t - 1] if t else c0
        parts = (dc * g * i * (1 - i), dc * before * f * (1 - f), dc * i * (1 - g * g), dh * tanh_c * o * (1 - o))
        d_gates[t] = np.concatenate(parts, axis=1)
        dh = d_gates[t] @ W_hh.T
        dc = dc * f
    h_before = np.concatenate([h0[None], out[:-1]])[: len(out)]
    dW_hh = np.tensordot(h_before, d_gates, axes=((0, 1), (0, 1)))
    return d_gates, dh, dc.copy(), dW_hh


def attention(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, scale: float, causal: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """out = softmax(scale q k^T) v; lse = log sum exp(scale q k^T).

    q (B, H, Tq, D), k and v (B, H, Tk, D). Returns out (B, H, Tq, D) and lse (B, H, Tq). With `causal`, the last query
    sees every key and each one before it one key fewer.
    """
    scores = _scores(q, k, scale, causal)
    lse = logsumexp(scores, -1)
    return np.exp(scores - lse[..., None]) @ v, lse


def attention_gradient(
    g: np.ndarray, q: np.ndarray, k: np.ndarray, v: np.ndarray, out: np.ndarray, lse: np.ndarray,
    scale: float, causal: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """dv = p^T g, ds = p (g v^T - sum(g out)), dq = scale ds k, dk = scale ds^T q; p = exp(scale q k^T - lse)."""
    p = np.exp(_scores(q, k, scale, causal) - lse[..., None])
    ds = p * (g @ v.swapaxes(-1, -2) - (g * out).sum(axis=-1, keepdims=True)) * np.asarray(scale, dtype=q.dtype)
    return ds @ k, ds.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ g


def embedding(ids: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """y = weight[ids]; ids of any shape, weight (n, d), y ids.shape + (d,).

    Raises IndexRangeError for an id outside 0..n-1.
    """
    return weight[indices("embedding", "ids", ids, len(weight), "position")]


def embedding_gradient(g: np.ndarray, ids: np.ndarray, n: int) -> np.ndarray:
    """dweight[id] = sum of g over the places that hold id; g ids.shape + (d,), the result (n, d)."""
    where = indices("embedding_gradient", "ids", ids, n, "position").reshape(-1)
    out = np.zeros((n, g.shape[-1]), dtype=g.dtype)
    np.add.at(out, where, g.reshape(len(where), g.shape[-1]))
    return out


def _scores(q: np.ndarray, k: np.ndarray, scale: float, causal: bool) -> np.ndarray:
    scores = q @ k.swapaxes(-1, -2) * np.asarray(scale, dtype=q.dtype)
    queries, keys = scores.shape[-2:]
    if causal and queries > keys:
        raise ShapeError(f"[attention] causal needs a key for every query, got {queries} queries and {keys} keys")
    if causal:
        scores[..., np.triu(np.ones((queries, keys), dtype=bool), k=keys - queries + 1)] = -np.inf
    return scores


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.tanh(x / 2) / 2 + np.asarray(0.5, dtype=x.dtype)
