"""Pooling and resampling of images on numpy arrays of any float dtype."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from needle.errors import ShapeError

from ..bands import Bands


def _check(where: str, x: np.ndarray, height: int, width: int) -> None:
    if x.ndim != 4 or x.shape[1:3] != (height, width):
        raise ShapeError(f"[{where}] needs a map (N, {height}, {width}, C), got {x.shape}")


def _taps(bands: Bands) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For t = 0, 1, ...: the t-th position that each output reads (0 if none), whether it has one, its weight."""
    _, first, start, _ = bands.arrays
    count = np.diff(start)
    for t in range(max(count, default=0)):
        exists = t < count
        weight = np.array([w[t] if t < len(w) else 0.0 for w in bands.weights])
        yield np.where(exists, first + t, 0), exists, weight


def _windows(rows: Bands, columns: Bands) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Row and column of each output's next position in its window, which of them exist, and their weights."""
    across = list(_taps(columns))
    for row, above, down in _taps(rows):
        for column, beside, weight in across:
            exists = above[:, None] & beside
            yield row[:, None], column, exists[..., None], (down[:, None] * weight)[..., None]


def resample(x: np.ndarray, rows: Bands, columns: Bands) -> np.ndarray:
    """y[n,i,j,c] = sum_a rows[i,a] sum_b columns[j,b] x[n,a,b,c], for x (N, H, W, C)."""
    _check("resample", x, rows.size, columns.size)
    dtype = x.dtype if x.dtype.kind == "f" else np.float64
    y = np.zeros((x.shape[0], rows.outputs, columns.outputs, x.shape[3]), dtype)
    for row, column, exists, weight in _windows(rows, columns):
        y += np.where(exists, x[:, row, column] * weight.astype(dtype), 0)
    return y


def _largest(x: np.ndarray, rows: Bands, columns: Bands) -> np.ndarray:
    """Which of the positions of its window holds each output's maximum: the first of equals, and NaN above all."""
    shape = (x.shape[0], rows.outputs, columns.outputs, x.shape[3])
    best, tap = np.empty(shape, x.dtype), np.zeros(shape, np.int64)
    for t, (row, column, exists, _) in enumerate(_windows(rows, columns)):
        found = x[:, row, column]
        better = exists & ((found > best) | np.isnan(found)) if t else np.ones(shape, bool)
        best[better], tap[better] = found[better], t
    return tap


def max_pool(x: np.ndarray, u: np.ndarray, rows: Bands, columns: Bands) -> np.ndarray:
    """y[n,i,j,c] = u where x is largest (first) in the window of (i, j), for x and u (N, H, W, C); max x for u = x."""
    _check("max_pool", x, rows.size, columns.size)
    _check("max_pool", u, rows.size, columns.size)
    tap = _largest(x, rows, columns)
    y = np.empty(tap.shape, u.dtype)
    for t, (row, column, _, _) in enumerate(_windows(rows, columns)):
        np.copyto(y, u[:, row, column], where=tap == t)
    return y


def max_pool_gradient(g: np.ndarray, x: np.ndarray, rows: Bands, columns: Bands) -> np.ndarray:
    """dx: each g[n,i,j,c] at the pixel where x is largest (first) in the window of (i, j), summed; x (N, H, W, C)."""
    _check("max_pool_gradient", g, rows.outputs, columns.outputs)
    _check("max_pool_gradient", x, rows.size, columns.size)
    tap = _largest(x, rows, columns)
    dx = np.zeros(x.shape, g.dtype)
    for t, (row, column, _, _) in enumerate(_windows(rows, columns)):
        each: Any = (slice(None), row, column)
        np.add.at(dx, each, np.where(tap == t, g, 0))  # windows may share a pixel
    return dx
