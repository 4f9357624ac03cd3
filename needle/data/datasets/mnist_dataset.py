"""MNIST and data sets like it: gzipped idx files. Source of the format: LeCun et al., "The MNIST database"."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy

from ...errors import DataError
from ..dataset import Dataset, batched, each_image


class MNISTDataset(Dataset):
    """Images (28, 28, 1) float32 in [0, 1] with labels uint8, from a file of images and one of labels (gzipped idx)."""

    def __init__(
        self, image_filename: str | Path, label_filename: str | Path,
        transforms: Sequence[Callable[[Any], Any]] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(transforms)
        images, self.y = read_pair(image_filename, label_filename)
        self.X = (images.astype("float32") / numpy.float32(255))[..., numpy.newaxis]

    def __len__(self) -> int:
        return len(self.y)

    @batched
    def __getitem__(self, index: Any) -> tuple[Any, Any]:
        x, y = self.X[index], self.y[index]
        return (each_image(self.apply_transforms, x) if self.transforms else x), y


def read_pair(image_filename: str | Path, label_filename: str | Path) -> tuple[numpy.ndarray, numpy.ndarray]:
    """(images (n, rows, columns) uint8, labels (n,) uint8). Raises DataError if the files do not belong together."""
    images, labels = read_idx(image_filename, 3), read_idx(label_filename, 1)
    if len(images) != len(labels):
        raise DataError(f"[MNIST] {image_filename} holds {len(images)} images, {label_filename} {len(labels)} labels")
    return images, labels


def read_idx(path: str | Path, ndim: int) -> numpy.ndarray:
    """The uint8 array of `ndim` axes in a gzipped idx file. Raises DataError for anything else."""
    try:
        with gzip.open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        raise DataError(f"[read_idx] {path} does not exist") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"[read_idx] {path} is not a whole gzip file: {error}") from None
    header = 4 + 4 * ndim
    if len(data) < header or data[:4] != bytes([0, 0, 8, ndim]):
        raise DataError(f"[read_idx] {path} does not start as an idx file of bytes with {ndim} axes")
    shape = tuple(int(size) for size in numpy.frombuffer(data, dtype=">u4", count=ndim, offset=4))
    if len(data) - header != prod(shape):
        raise DataError(f"[read_idx] {path} promises shape {shape}, but holds {len(data) - header} bytes")
    return numpy.frombuffer(data, dtype="uint8", offset=header).reshape(shape)
