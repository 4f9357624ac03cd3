"""Attention on numpy arrays of any float dtype."""

from __future__ import annotations

import numpy as np

from needle.backend_ndarray.plain.softmax import logsumexp
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


def _scores(q: np.ndarray, k: np.ndarray, scale: float, causal: bool) -> np.ndarray:
    scores = q @ k.swapaxes(-1, -2) * np.asarray(scale, dtype=q.dtype)
    queries, keys = scores.shape[-2:]
    if causal and queries > keys:
        raise ShapeError(f"[attention] causal needs a key for every query, got {queries} queries and {keys} keys")
    if causal:
        scores[..., np.triu(np.ones((queries, keys), dtype=bool), k=keys - queries + 1)] = -np.inf
    return scores
