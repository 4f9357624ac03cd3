"""Transforms one after another, and the usual ones fused into one pass over the pixels."""

from __future__ import annotations

import re
from typing import Any

import numpy

from ...backend_ndarray import NDArray, ndarray_backend_cpu
from ...backend_selection import BACKEND, cpu
from ...errors import DataError
from ...keyed_random import key_of, uniform
from .colour import Normalize, ToFloat
from .geometry import AlternatingFlip, Cutout, RandomCrop, RandomFlip
from .transform import Transform


class Compose(Transform):
    """The transforms in order; image i's numbers are dealt out to them in order.

    Where they are RandomCrop and a flip, in either order or left out, then Normalize or ToFloat with or without a
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
        self._fused = FusedTransforms.of(transforms) if BACKEND == "nd" else None

    def __repr__(self) -> str:
        return f"Compose({', '.join(map(repr, self.transforms))})"

    def __call__(self, images: numpy.ndarray, u: numpy.ndarray) -> Any:
        if images.ndim != 4:
            raise DataError(f"[Compose] images must be (n, channels, height, width), got shape {images.shape}")
        if u.shape != (len(images), self.draws):
            raise DataError(f"[Compose] needs numbers of shape {(len(images), self.draws)}, got {u.shape}")
        if self._fused is not None and self._fused.fits(images):
            images, u = numpy.ascontiguousarray(images), numpy.ascontiguousarray(u)
            return self._fused(images, numpy.arange(len(images)), u)
        used = 0
        for each in self.transforms:
            images = each(images, u[:, used : used + each.draws])
            used += each.draws
        return images

    def drawn(self, seed: int, epoch: int, samples: numpy.ndarray) -> numpy.ndarray:
        """The numbers u (n, draws) of `samples` (n,) in an epoch: a function of (seed, epoch, sample)."""
        u = uniform(key_of(seed, epoch), samples, self.draws)
        used = 0
        for each in self.transforms:
            part = slice(used, used + each.draws)
            u[:, part] = each.numbers(u[:, part], seed, epoch, samples)
            used += each.draws
        return u

    def fused(self, pixels: Any) -> FusedTransforms | None:
        """What makes self(pixels[chosen], u) without that copy, from (pixels, chosen, u); None if nothing does."""
        usual = isinstance(pixels, numpy.ndarray) and pixels.flags.c_contiguous
        return self._fused if usual and self._fused is not None and self._fused.fits(pixels) else None


class FusedTransforms:
    """A pipeline as the arguments of one call of the compiled kernel."""

    LETTERS = {  # noqa: RUF012
        RandomCrop: "m", RandomFlip: "f", AlternatingFlip: "f", Cutout: "c", Normalize: "a", ToFloat: "a",
    }  # fmt: skip

    def __init__(self, word: str, transforms: tuple[Any, ...]) -> None:
        parts = dict(zip(word, transforms, strict=True))
        starts = {letter: sum(each.draws for each in transforms[:k]) for k, letter in enumerate(word)}
        crop, flip, cutout = parts.get("m", RandomCrop(0)), parts.get("f"), parts.get("c", Cutout(0))
        self.padding, self.affine = crop.padding, parts["a"]
        self.arguments = (
            starts.get("m", -1), crop.padding, crop.mode == "reflect",
            starts.get("f", -1), getattr(flip, "p", 0.5), "fm" in word, starts.get("c", -1), cutout.size,
        )  # fmt: skip
        self.covered_first = "ca" in word
        self.coefficients: dict[int, tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]] = {}

    @classmethod
    def of(cls, transforms: tuple[Transform, ...]) -> FusedTransforms | None:
        """The pass that does what the transforms do, if one pass can."""
        word = "".join(cls.LETTERS.get(type(each), "?") for each in transforms)
        return cls(word, transforms) if re.fullmatch("(m?f?|fm)(a|ca|ac)", word) else None

    def fits(self, images: numpy.ndarray) -> bool:
        """Whether it can do it to these images."""
        usual = images.dtype == "uint8" and images.ndim == 4
        return usual and self.padding < max(1, min(images.shape[2:]))

    def __call__(self, pixels: numpy.ndarray, chosen: numpy.ndarray, u: numpy.ndarray) -> NDArray:
        """The batch of the images `chosen` (n,) among `pixels`."""
        batch = NDArray.make((len(chosen), *pixels.shape[1:]), device=cpu())
        scale, shift, colour = self._affine(pixels.shape[1])
        ndarray_backend_cpu.drawn_image_batch(pixels, chosen, u, *self.arguments, scale, shift, colour, batch._handle)
        return batch

    def _affine(self, channels: int) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
        """(scale, shift, what a covered pixel becomes) for each channel."""
        if channels not in self.coefficients:
            scale, shift = self.affine.coefficients(channels, numpy.dtype("uint8"))
            self.coefficients[channels] = scale, shift, shift if self.covered_first else numpy.zeros_like(shift)
        return self.coefficients[channels]
