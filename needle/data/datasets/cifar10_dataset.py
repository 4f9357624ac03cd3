"""CIFAR-10: 60,000 small colour images of ten classes.

Source: Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy

from ...errors import DataError
from ..dataset import Dataset, batched, each_image

BATCHES = {True: [f"data_batch_{i}" for i in range(1, 6)], False: ["test_batch"]}
PIXELS = 3 * 32 * 32
SHEET_ROWS, SHEET_COLUMNS = 25, 40  # tiles in one contact sheet


class CIFAR10Dataset(Dataset):
    """Samples (image float32 (3, 32, 32) in [0, 1], label), from a folder of the python batches or of contact sheets.

    Transforms see each image as (32, 32, 3). `p` is kept for callers of the course's signature and has no effect.
    """

    def __init__(
        self, base_folder: str | Path, train: bool, p: float | None = 0.5,
        transforms: Sequence[Callable[[Any], Any]] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(transforms)
        self.train = train
        self.p = p
        images, self.y = read_cifar10(base_folder, train)
        self.X = images.astype("float32")
        self.X /= 255

    def __len__(self) -> int:
        return len(self.y)

    @batched
    def __getitem__(self, index: Any) -> tuple[Any, Any]:
        x, y = self.X[index], self.y[index]
        return (each_image(self._transformed, x) if self.transforms else x), y

    def _transformed(self, image: numpy.ndarray) -> numpy.ndarray:
        return numpy.ascontiguousarray(self.apply_transforms(image.transpose(1, 2, 0)).transpose(2, 0, 1))


def read_cifar10(base_folder: str | Path, train: bool) -> tuple[numpy.ndarray, numpy.ndarray]:
    """(images (n, 3, 32, 32) uint8, labels (n,) int64) of one split, in the original order.

    Raises DataError if the folder holds neither the python batches nor the sheets, or if their content is malformed.
    """
    folder = Path(base_folder)
    split = "train" if train else "test"
    if all((folder / name).is_file() for name in BATCHES[train]):
        parts = [_read_batch(folder / name) for name in BATCHES[train]]
        images, labels = (numpy.concatenate(arrays) for arrays in zip(*parts, strict=True))
    elif (folder / f"{split}_labels.bin").is_file():
        labels = numpy.fromfile(folder / f"{split}_labels.bin", dtype="uint8").astype("int64")
        images = _read_sheets(folder, split, len(labels))
    else:
        raise DataError(f"[CIFAR10Dataset] {folder} holds neither {BATCHES[train][0]} nor {split}_labels.bin")
    if len(images) != len(labels) or (len(labels) and not 0 <= labels.min() <= labels.max() < 10):
        raise DataError(f"[CIFAR10Dataset] {folder} needs one label in 0..9 for each of its {len(images)} images")
    return images, labels


def _read_batch(path: Path) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Images and labels of one python batch: a pickled dict with `data` (n, 3072) uint8 and `labels`."""
    try:
        with open(path, "rb") as file:
            content = _ArraysOnly(file, encoding="bytes").load()
        images, labels = content[b"data"], numpy.asarray(content[b"labels"], dtype="int64")
    except DataError:
        raise
    except Exception as error:  # a malformed pickle can raise almost anything
        raise DataError(f"[CIFAR10Dataset] {path} is not a CIFAR-10 python batch: {error!r}") from None
    if not isinstance(images, numpy.ndarray) or images.dtype != "uint8" or images.shape != (len(labels), PIXELS):
        raise DataError(f"[CIFAR10Dataset] {path} needs uint8 data of shape ({len(labels)}, {PIXELS})")
    return images.reshape(-1, 3, 32, 32), labels


class _ArraysOnly(pickle.Unpickler):
    """Reads pickles of dicts, lists, numbers, bytes and numpy arrays; all else is refused, so nothing can execute."""

    ALLOWED = {  # noqa: RUF012  (the constructor of arrays has moved between numpy's modules)
        ("numpy.core.multiarray", "_reconstruct"): numpy.empty(0).__reduce__()[0],
        ("numpy._core.multiarray", "_reconstruct"): numpy.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): numpy.ndarray,
        ("numpy", "dtype"): numpy.dtype,
        ("_codecs", "encode"): lambda text, encoding: text.encode("latin1"),  # how Python 3 writes bytes as protocol 2
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise DataError(f"[CIFAR10Dataset] the pickle asks for {module}.{name}; only numpy arrays are allowed")
        return self.ALLOWED[module, name]


def _read_sheets(folder: Path, split: str, count: int) -> numpy.ndarray:
    """The images of lossless contact sheets of 25 x 40 tiles, split_00.webp, split_01.webp, ..., tiles in rows."""
    from PIL import Image, UnidentifiedImageError

    size = SHEET_ROWS * SHEET_COLUMNS
    images = numpy.empty((count, 3, 32, 32), dtype="uint8")
    for start in range(0, count, size):
        path = folder / f"{split}_{start // size:02d}.webp"
        try:
            with Image.open(path, formats=["WEBP"]) as sheet:
                if sheet.size != (SHEET_COLUMNS * 32, SHEET_ROWS * 32):
                    raise DataError(f"[CIFAR10Dataset] {path} needs 1280 x 800 pixels, got {sheet.size}")
                pixels = numpy.asarray(sheet.convert("RGB"))
        except (FileNotFoundError, UnidentifiedImageError, OSError) as error:
            raise DataError(f"[CIFAR10Dataset] {path} cannot be read: {error}") from None
        tiles = pixels.reshape(SHEET_ROWS, 32, SHEET_COLUMNS, 32, 3).transpose(0, 2, 4, 1, 3).reshape(size, 3, 32, 32)
        images[start : start + size] = tiles[: count - start]
    return images
