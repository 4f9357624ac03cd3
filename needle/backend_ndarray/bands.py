"""Pooling and resampling as sparse matrices, of one axis each: which positions an output reads, with what weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from needle.errors import ShapeError

Runs = tuple[tuple[float, ...], ...]
LONGEST = 1 << 20  # positions along an axis of an image: what is longer is a mistake, and its rows would fill memory


@dataclass(frozen=True, repr=False)
class Bands:
    """A sparse matrix (outputs, size): row i is zero but for `weights[i]`, from column `first[i]` on.

    The non-zeros of a row are neighbours, so this is a banded matrix, kept as compressed sparse rows (CSR) that know
    their first column alone. Resampling an image is y = V x H^T with one such matrix for its rows and one for its
    columns; a maximum over windows reads only where they lie.
    """

    size: int
    first: tuple[int, ...]
    weights: Runs

    def __repr__(self) -> str:
        return f"<{self.outputs}x{self.size}>"

    @property
    def outputs(self) -> int:
        """How many rows the matrix has."""
        return len(self.first)

    @cached_property
    def transposed(self) -> Bands:
        """The transposed matrix: what resampling with this one is differentiated with."""
        columns: list[dict[int, float]] = [{} for _ in range(self.size)]
        for i, (first, weights) in enumerate(zip(self.first, self.weights, strict=True)):
            for t, weight in enumerate(weights):
                columns[first + t][i] = weight
        runs = [range(min(column, default=0), max(column, default=-1) + 1) for column in columns]
        turned = tuple(
            tuple(column.get(i, 0.0) for i in run) for column, run in zip(columns, runs, strict=True)
        )
        return Bands(self.outputs, tuple(run.start for run in runs), turned)

    @cached_property
    def arrays(self) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
        """The size, the first column of each row, where its weights start among all weights, and these: for kernels."""
        lengths = [len(weights) for weights in self.weights]
        start = np.cumsum([0, *lengths], dtype=np.int64)
        flat = np.array([weight for weights in self.weights for weight in weights], dtype=np.float32)
        return self.size, np.array(self.first, dtype=np.int64), start, flat


@lru_cache(maxsize=1024)
def sliding(size: int, kernel: int, stride: int, padding: int) -> Bands:
    """Windows of `kernel` positions, `stride` apart, the first one `padding` before the axis; weights 1 / kernel.

    What lies outside the axis is left out.
    """
    starts = range(-padding, size + padding - kernel + 1, stride)
    spans = [(max(at, 0), min(at + kernel, size)) for at in starts]
    return _bands(size, [(low, [1 / kernel] * (high - low)) for low, high in spans])


@lru_cache(maxsize=1024)
def adaptive(size: int, outputs: int) -> Bands:
    """`outputs` windows that cover the axis evenly, floor(i size / outputs) to ceil((i + 1) size / outputs); means."""
    _check(outputs)
    spans = [(i * size // outputs, -(-(i + 1) * size // outputs)) for i in range(outputs)]
    return _bands(size, [(low, [1 / (high - low)] * (high - low)) for low, high in spans])


@lru_cache(maxsize=1024)
def nearest(size: int, outputs: int, scale: float | None = None) -> Bands:
    """Output i reads position floor(i / scale), for scale = outputs / size unless it is given."""
    _check(outputs)
    at = [i * size // outputs if scale is None else int(i / scale) for i in range(outputs)]
    return _bands(size, [(min(k, size - 1), [1.0]) for k in at])


@lru_cache(maxsize=1024)
def linear(size: int, outputs: int, scale: float | None = None) -> Bands:
    """Output i lies at (i + 1/2) / scale - 1/2, between two positions; scale = outputs / size unless it is given."""
    _check(outputs)
    step, rows = size / outputs if scale is None else 1 / scale, []
    for i in range(outputs):
        at = max((i + 0.5) * step - 0.5, 0.0)
        low = min(int(at), size - 1)
        share = min(at - low, 1.0)
        rows.append((low, [1 - share, share] if low + 1 < size and share > 0 else [1.0]))
    return _bands(size, rows)


def _check(outputs: int) -> None:
    if outputs > LONGEST:
        raise ShapeError(f"[resample] the rows and columns of an image are at most {LONGEST}, got {outputs}")


def _bands(size: int, rows: list[tuple[int, list[float]]]) -> Bands:
    return Bands(size, tuple(first for first, _ in rows), tuple(tuple(weights) for _, weights in rows))
