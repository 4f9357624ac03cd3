"""Transforms one after another, and the one pass over the pixels that the usual ones share."""

from __future__ import annotations

import re
from typing import Any

import numpy

from ...backend_selection import BACKEND
from ...errors import DataError
from ..augment import Cut, image_batch
from .colour import Affine, Normalize, ToFloat
from .geometry import Cutout, RandomCrop, RandomFlip
from .transform import Transform


class Compose(Transform):
    """The transforms in order; image i's numbers are dealt out to them in order.

    Where they are RandomCrop and RandomFlip, in either order or left out, then Normalize or ToFloat with or without a
    Cutout before or after it, and the images are uint8, one compiled pass makes the batch (float32 NDArray on the
    cpu); otherwise each transform runs by itself. The result is the same, bit for bit.

    Raises DataError if the images are not (n, channels, height, width), or u is not (n, draws).
    """

    def __init__(self, *transforms: Transform) -> None:
        for each in transforms:
            if not isinstance(each, Transform):
                raise DataError(f"[Compose] needs transforms of needle.data.transforms, got {each!r}")
        self.transforms = transforms
        self.draws = sum(each.draws for each in transforms)  # type: ignore[misc]
        self._one_pass = OnePass.of(transforms) if BACKEND == "nd" else None

    def __repr__(self) -> str:
        return f"Compose({', '.join(map(repr, self.transforms))})"

    def __call__(self, images: numpy.ndarray, u: numpy.ndarray) -> Any:
        if images.ndim != 4:
            raise DataError(f"[Compose] images must be (n, channels, height, width), got shape {images.shape}")
        if u.shape != (len(images), self.draws):
            raise DataError(f"[Compose] needs numbers of shape {(len(images), self.draws)}, got {u.shape}")
        if self._one_pass is not None and self._one_pass.fits(images):
            return self._one_pass(images, u)
        used = 0
        for each in self.transforms:
            images = each(images, u[:, used : used + each.draws])
            used += each.draws
        return images


class OnePass:
    """A pipeline as the arguments of one call of `image_batch`."""

    LETTERS = {RandomCrop: "m", RandomFlip: "f", Cutout: "c", Normalize: "a", ToFloat: "a"}  # noqa: RUF012

    def __init__(self, word: str, transforms: tuple[Any, ...]) -> None:
        self.parts = dict(zip(word, transforms, strict=True))
        self.starts = {letter: sum(each.draws for each in transforms[:k]) for k, letter in enumerate(word)}
        self.flipped_first, self.covered_first = "fm" in word, "ca" in word
        self.coefficients: dict[int, tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]] = {}

    @classmethod
    def of(cls, transforms: tuple[Transform, ...]) -> OnePass | None:
        """The pass that does what the transforms do, if one pass can."""
        word = "".join(cls.LETTERS.get(type(each), "?") for each in transforms)
        return cls(word, transforms) if re.fullmatch("(m?f?|fm)(a|ca|ac)", word) else None

    def fits(self, images: numpy.ndarray) -> bool:
        """Whether it can do it to these images."""
        padding = self.parts["m"].padding if "m" in self.parts else 0
        return images.dtype == "uint8" and padding < max(1, min(images.shape[2:]))

    def __call__(self, images: numpy.ndarray, u: numpy.ndarray) -> Any:
        n, channels = images.shape[:2]
        crop, flip, cutout = self.parts.get("m"), self.parts.get("f"), self.parts.get("c")
        numbers = {letter: u[:, start:] for letter, start in self.starts.items()}
        top, left = crop.shifts(numbers["m"][:, :2]) if crop else numpy.zeros((2, n), dtype="int64")
        mirror = flip.mirrored(numbers["f"]) if flip else numpy.zeros(n, dtype=bool)
        if crop and self.flipped_first:  # the crop's window is mirrored too
            left = numpy.where(mirror, 2 * crop.padding - left, left)
        scale, shift, colour = self._affine(channels)
        cut = None
        if cutout:
            rows, columns = cutout.centres(images.shape, numbers["c"])
            cut = Cut(rows, columns, cutout.size, colour)
        return image_batch(
            numpy.ascontiguousarray(images), numpy.arange(n), top, left, mirror, crop.padding if crop else 0,
            crop.mode if crop else "zero", scale, shift, cut,
        )  # fmt: skip

    def _affine(self, channels: int) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
        """(scale, shift, what a covered pixel becomes) for each channel."""
        if channels not in self.coefficients:
            affine: Affine = self.parts["a"]
            scale, shift = affine.coefficients(channels, numpy.dtype("uint8"))
            self.coefficients[channels] = scale, shift, shift if self.covered_first else numpy.zeros_like(shift)
        return self.coefficients[channels]
