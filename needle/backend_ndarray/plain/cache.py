"""Decoding with a cache of keys and values (slots, context, H, D), on numpy arrays of any float dtype."""

from __future__ import annotations

import numpy as np

from needle.backend_ndarray.plain.softmax import indices


def cache_write(cache: np.ndarray, new: np.ndarray, slot: np.ndarray, position: np.ndarray) -> np.ndarray:
    """y = cache, but y[slot[b], position[b] + t] = new[b, t]; new (B, T, H, D).

    Raises IndexRangeError, naming the row, for places outside the cache.
    """
    rows, places = _places("cache_write", cache, new.shape[1], slot, position)
    y = cache.astype(np.result_type(cache, new))
    for row, at, values in zip(rows, places, new, strict=True):
        y[row, at] = values
    return y


def cached_attention(
    q: np.ndarray, keys: np.ndarray, values: np.ndarray, slot: np.ndarray, position: np.ndarray, scale: float
) -> np.ndarray:
    """y[b, h, i] = sum over j <= position[b] + i of softmax(scale q . keys[slot[b], j, h]) values[slot[b], j, h].

    q and y (B, H, T, D). One query at a time: what each gives is the same whatever stands beside it. Raises
    IndexRangeError, naming the row, for places outside the cache.
    """
    rows, places = _places("cached_attention", keys, q.shape[2], slot, position)
    y = np.empty(q.shape, q.dtype)
    for b, i in np.ndindex(q.shape[0], q.shape[2]):
        k, v = (x[rows[b], : places[b, i] + 1] for x in (keys, values))
        scores = (k * q[b, :, i]).sum(-1) * np.asarray(scale, dtype=q.dtype)
        p = np.exp(scores - scores.max(0))
        y[b, :, i] = ((p / p.sum(0))[..., None] * v).sum(0)
    return y


def _places(
    where: str, cache: np.ndarray, steps: int, slot: np.ndarray, position: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The slot of each row (B,), and its positions (B, steps)."""
    rows = indices(where, "slots", slot, cache.shape[0], "row ")
    first = indices(where, "positions", position, cache.shape[1] - steps + 1, "row ")
    return rows, first[:, None] + np.arange(steps)
