"""Transforms one after another, and the one pass over the pixels that the usual ones share."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy

from ...backend_selection import BACKEND
from ...errors import DataError
from ..augment import image_batch
from .colour import Affine
from .geometry import RandomCrop, RandomFlip
from .transform import Transform


class Compose(Transform):
    """The transforms in order; image i's numbers are dealt out to them in order.

    Where they are a RandomCrop and a RandomFlip, either left out or in either order, then Normalize or ToFloat, and
    the images are uint8, one compiled pass makes the batch (float32 NDArray on the cpu); otherwise each transform runs
    by itself. The result is the same, bit for bit. Raises DataError if the images are not (n, channels, height,
    width), or u is not (n, draws).
    """

    def __init__(self, *transforms: Transform) -> None:
        for each in transforms:
            if not isinstance(each, Transform):
                raise DataError(f"[Compose] needs transforms of needle.data.transforms, got {each!r}")
        self.transforms = transforms
        self.draws = sum(each.draws for each in transforms)  # type: ignore[misc]
        self._one_pass = BACKEND == "nd" and _Plan.of(transforms)

    def __repr__(self) -> str:
        return f"Compose({', '.join(map(repr, self.transforms))})"

    def __call__(self, images: numpy.ndarray, u: numpy.ndarray) -> Any:
        if images.ndim != 4:
            raise DataError(f"[Compose] images must be (n, channels, height, width), got shape {images.shape}")
        if u.shape != (len(images), self.draws):
            raise DataError(f"[Compose] needs numbers of shape {(len(images), self.draws)}, got {u.shape}")
        if self._one_pass and self._one_pass.fits(images):
            return self._one_pass.run(images, u)
        used = 0
        for each in self.transforms:
            images = each(images, u[:, used : used + each.draws])
            used += each.draws
        return images


class _Plan(NamedTuple):
    """A pipeline that one pass can do: which transform plays which part, and where its numbers begin."""

    crop: RandomCrop | None
    crop_at: int
    flip: RandomFlip | None
    flip_at: int
    affine: Affine

    @staticmethod
    def of(transforms: tuple[Transform, ...]) -> _Plan | None:
        parts: dict[type, tuple[Any, int]] = {}
        used = 0
        for each in transforms:
            kind = next((kind for kind in (RandomCrop, RandomFlip, Affine) if isinstance(each, kind)), None)
            if kind is None or kind in parts or Affine in parts:
                return None
            parts[kind] = each, used
            used += each.draws
        if Affine not in parts:
            return None
        nothing = (None, 0)
        return _Plan(*parts.get(RandomCrop, nothing), *parts.get(RandomFlip, nothing), parts[Affine][0])

    def fits(self, images: numpy.ndarray) -> bool:
        padding = self.crop.padding if self.crop else 0
        return images.dtype == "uint8" and padding < max(1, min(images.shape[2:]))

    def run(self, images: numpy.ndarray, u: numpy.ndarray) -> Any:
        n, padding = len(images), self.crop.padding if self.crop else 0
        top, left = (
            self.crop.shifts(u[:, self.crop_at : self.crop_at + 2]) if self.crop else numpy.zeros((2, n), "int64")
        )
        mirror = self.flip.mirrored(u[:, self.flip_at :]) if self.flip else numpy.zeros(n, dtype=bool)
        if self.crop and self.flip and self.flip_at < self.crop_at:  # mirrored first: the crop's window is mirrored too
            left = numpy.where(mirror, 2 * padding - left, left)
        scale, shift = self.affine.coefficients(images.shape[1], images.dtype)
        mode = self.crop.mode if self.crop else "zero"
        return image_batch(
            numpy.ascontiguousarray(images), numpy.arange(n), top, left, mirror, padding, mode, scale, shift
        )
