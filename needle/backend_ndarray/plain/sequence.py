"""Attention and embedding on numpy arrays of any float dtype."""

from __future__ import annotations

import numpy as np

from needle.backend_ndarray.plain.softmax import indices, logsumexp
from needle.errors import ShapeError


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
