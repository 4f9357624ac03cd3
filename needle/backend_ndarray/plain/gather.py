"""Slices and elements of numpy arrays by their number along an axis, and the gradients that add them up again."""

from __future__ import annotations

from typing import Any

import numpy as np

from needle.errors import IndexRangeError


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


def places(where: str, ids: np.ndarray, size: int) -> np.ndarray:
    """ids as integers in 0..size-1, those below zero counted from the end."""
    with np.errstate(invalid="ignore"):
        good = (ids >= -size) & (ids < size) & (ids == np.floor(ids))
    if not good.all():
        first = int(np.argmin(good.reshape(-1)))
        raise no_place(where, size, ids.reshape(-1)[first], first)
    whole = ids.astype(np.int64)
    return np.where(whole < 0, whole + size, whole)


def no_place(where: str, size: int, value: float, at: int) -> IndexRangeError:
    """The error for an index that is no whole number in -size..size-1."""
    return IndexRangeError(f"[{where}] indices must be whole numbers in {-size}..{size - 1}, got {value:g} at {at}")
