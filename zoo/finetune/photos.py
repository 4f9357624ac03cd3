"""Images of a user's with the names of their classes, as arrays of the size that a model takes."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

from needle.data.datasets.image_folder import ImageFolder
from needle.data.image_geometry import fitted
from needle.data.images import open_image, rgb
from needle.errors import DataError

from .rows import RowError, kind_of, read_rows, text_of

MAX_BYTES = 2_000_000_000  # of pixels


@dataclass(frozen=True)
class Photos:
    """Images uint8 (n, 3, height, width), the numbers of their classes (n,), and where each comes from."""

    pixels: numpy.ndarray
    labels: numpy.ndarray
    classes: tuple[str, ...]
    sources: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, chosen: numpy.ndarray) -> Photos:
        """Those of these indices."""
        sources = tuple(self.sources[i] for i in chosen.tolist())
        return Photos(self.pixels[chosen], self.labels[chosen], self.classes, sources)


def read_photos(path: Path, spec: Mapping[str, Any], classes: Sequence[str] | None = None) -> Photos:
    """The images of a folder with a folder for each class, or of rows {"image": base64, "label": name}.

    `classes` are the names that there may be, in their order; by default those that there are, sorted. Raises DataError
    for another kind of file, an image that cannot be read or a row that is malformed, each with its place.
    """
    size = (spec["height"], spec["width"])
    if spec["channels"] != 3:
        raise DataError(f"[finetune] images are read as RGB, the model takes {spec['channels']} channels")
    if path.is_dir():
        found = ImageFolder(path, size, classes=classes)
        _bounded(path, len(found), size)
        pixels = numpy.stack([found[i][0] for i in range(len(found))])
        names = tuple(str(each.relative_to(path)) for each in found.paths)
        return Photos(pixels, found.y, tuple(found.classes), names)
    if kind_of(path) != ".jsonl":
        raise DataError(
            f"[finetune] an image model learns from a folder with a folder of images for each class, or from rows "
            f'{{"image": base64, "label": ...}} (.jsonl), got {path}'
        )
    rows = read_rows(path, ("image", "label"), lambda row: _photo(row, size, classes))
    _bounded(path, len(rows), size)
    known = tuple(classes) if classes is not None else tuple(sorted({label for _, label in rows}))
    labels = numpy.array([known.index(label) for _, label in rows], dtype="int64")
    return Photos(
        numpy.stack([pixels for pixels, _ in rows]), labels, known, tuple(f"row {i}" for i in range(1, len(rows) + 1))
    )


def _bounded(path: Path, count: int, size: tuple[int, int]) -> None:
    if 3 * count * size[0] * size[1] > MAX_BYTES:
        raise DataError(f"[finetune] {path} has {count} images, more than memory is planned for: take fewer")


def _photo(row: dict[str, Any], size: tuple[int, int], classes: Sequence[str] | None) -> tuple[numpy.ndarray, str]:
    label = text_of(row, "label")
    if not label or (classes is not None and label not in classes):
        known = f": it is one of {', '.join(classes)}" if classes is not None else ": name the class"
        raise RowError(f"has the label {label!r}{known}")
    text = text_of(row, "image")
    try:
        data = base64.b64decode(text.encode(), validate=True)
    except (binascii.Error, ValueError):
        raise RowError("has an image that is not base64: encode the bytes of the image's file") from None
    try:
        image = fitted(rgb(open_image(data)), *size)
    except DataError as error:
        raise RowError(f"has an image that cannot be read ({error}): use PNG, JPEG or WebP") from None
    return numpy.ascontiguousarray(numpy.asarray(image).transpose(2, 0, 1)), label


def split(photos: Photos, share: float, seed: int, where: str) -> tuple[Photos, Photos | None]:
    """What to learn from and, where `share` is not 0, what is held out: that share of each class, at least one image.

    Raises DataError for fewer than two classes, or a class of which too few images are left to learn from.
    """
    counts = numpy.bincount(photos.labels, minlength=len(photos.classes))
    if (counts > 0).sum() < 2:
        raise DataError(f"[finetune] {where} needs images of at least two classes, got {int((counts > 0).sum())}")
    if not share:
        return photos, None
    rng = numpy.random.default_rng(seed)
    held: list[int] = []
    for label, name in enumerate(photos.classes):
        mine = rng.permutation(numpy.flatnonzero(photos.labels == label))
        if len(mine) == 1:
            raise DataError(
                f"[finetune] {where} has one image of {name!r}: it needs two, one to measure on, or validation 0"
            )
        held += mine[: min(len(mine) - 1, max(1, round(share * len(mine))))].tolist()
    chosen = numpy.zeros(len(photos), dtype=bool)
    chosen[held] = True
    return photos.part(numpy.flatnonzero(~chosen)), photos.part(numpy.flatnonzero(chosen))
