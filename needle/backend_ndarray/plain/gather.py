"""Slices, rows and elements of numpy arrays by their number, and the gradients that add them up again."""

from __future__ import annotations

from typing import Any

import numpy as np

from needle.backend_ndarray.plain.softmax import indices
from needle.errors import IndexRangeError, ShapeError


def take(x: np.ndarray, ids: np.ndarray, axis: int) -> np.ndarray:
    """y[i, j, k] = x[i, ids[j], k]; ids of any shape in -n..n-1. Raises IndexRangeError for any other."""
    return np.take(x, places("take", ids, x.shape[axis]), axis)


def take_gradient(g: np.ndarray, ids: np.ndarray, axis: int, size: int) -> np.ndarray:
    """dx[i, n, k] = the sum of g[i, j, k] over the j where ids is n, of `size` along the axis."""
    at = places("take_gradient", ids, size).reshape(-1)
    outer, inner = g.shape[:axis], g.shape[axis + ids.ndim :]
    dx = np.zeros((*outer, size, *inner), dtype=g.dtype)
    where: Any = (*[slice(None)] * axis, at)
    np.add.at(dx, where, g.reshape(*outer, at.size, *inner))
    return dx


def gather(x: np.ndarray, index: np.ndarray, axis: int) -> np.ndarray:
    """y[i, j, k] = x[i, index[i, j, k], k]; index in -n..n-1. Raises IndexRangeError for any other."""
    return np.take_along_axis(x, places("gather", index, x.shape[axis]), axis)


def gather_gradient(g: np.ndarray, index: np.ndarray, axis: int, size: int) -> np.ndarray:
    """dx[i, n, k] = the sum of g[i, j, k] over the j with index[i, j, k] = n, of `size` along the axis."""
    at = list(np.ogrid[tuple(slice(n) for n in g.shape)])
    at[axis] = places("gather_gradient", index, size)
    dx = np.zeros((*g.shape[:axis], size, *g.shape[axis + 1 :]), dtype=g.dtype)
    np.add.at(dx, tuple(at), g)
    return dx


def embedding(ids: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """y = weight[ids]; ids of any shape, weight (n, d), y ids.shape + (d,).

    Raises IndexRangeError for an id outside 0..n-1.
    """
    return weight[indices("embedding", "ids", ids, len(weight), "position ")]


def embedding_gradient(g: np.ndarray, ids: np.ndarray, n: int) -> np.ndarray:
    """dweight[id] = sum of g over the places that hold id; g ids.shape + (d,), the result (n, d)."""
    where = indices("embedding_gradient", "ids", ids, n, "position ").reshape(-1)
    out = np.zeros((n, g.shape[-1]), dtype=g.dtype)
    np.add.at(out, where, g.reshape(len(where), g.shape[-1]))
    return out


def places(where: str, ids: np.ndarray, size: int) -> np.ndarray:
    """ids as integers in 0..size-1, those below zero counted from the end."""
    whole = indices(where, "indices", ids, size, "", -size)
    return np.where(whole < 0, whole + size, whole)


def one_hot(n: int, i: Any, dtype: Any) -> np.ndarray:
    """Rows of the n by n identity: shape i.shape + (n,). Raises IndexRangeError for an index outside -n..n-1."""
    ids = np.asarray(i).astype(np.int64)
    if n < 0:
        raise ShapeError(f"[one_hot] needs a count of 0 or more, got {n}")
    wrong = (ids < -n) | (ids >= n)
    if wrong.any():
        raise IndexRangeError(f"[one_hot] indices must lie in 0..{n - 1}, got {ids[wrong].flat[0]}")
    rows = np.zeros((*ids.shape, n), dtype=dtype)
    np.put_along_axis(rows, (ids % n)[..., None], 1, axis=-1)
    return rows
