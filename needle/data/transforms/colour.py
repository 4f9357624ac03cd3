"""Transforms of pixel values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy

from ...types import NUMBERS
from .transform import Transform, check

GREY = numpy.array([0.299, 0.587, 0.114], dtype="float32")  # ITU-R BT.601


class Affine(Transform):
    """y = x scale + shift for each channel, float32: what `Normalize` and `ToFloat` are."""

    def coefficients(self, channels: int, dtype: numpy.dtype) -> tuple[numpy.ndarray, numpy.ndarray]:
        """(scale (channels,), shift (channels,)), float32, for pixels of this dtype."""
        raise NotImplementedError

    def __call__(self, images: numpy.ndarray, u: numpy.ndarray) -> numpy.ndarray:
        scale, shift = self.coefficients(images.shape[1], images.dtype)
        y: numpy.ndarray = images.astype("float32") * scale[:, None, None] + shift[:, None, None]
        return y


@dataclass(frozen=True)
class ToFloat(Affine):
    """x / 255 as float32 where pixels are uint8; floats stay as they are, as float32."""

    def coefficients(self, channels: int, dtype: numpy.dtype) -> tuple[numpy.ndarray, numpy.ndarray]:
        scale = numpy.float32(1 / 255 if dtype == "uint8" else 1)
        return numpy.full(channels, scale), numpy.zeros(channels, dtype="float32")


@dataclass(frozen=True)
class Normalize(Affine):
    """(x - mean) / std for each channel as float32; pixels that are uint8 are divided by 255 first.

    Raises SettingError if a std is not positive, or there are not as many means and stds as channels (or one of each).
    """

    mean: Sequence[float] | float
    std: Sequence[float] | float

    def __post_init__(self) -> None:
        for name, value in (("mean", self.mean), ("std", self.std)):
            try:
                numpy.asarray(value, dtype="float32")
            except (ValueError, TypeError, OverflowError):
                check(False, self, f"{name} must be a number, or one for each channel", value)
        check(bool((numpy.asarray(self.std) > 0).all()), self, "std must be positive", self.std)

    def coefficients(self, channels: int, dtype: numpy.dtype) -> tuple[numpy.ndarray, numpy.ndarray]:
        mean, std = (numpy.atleast_1d(numpy.asarray(x, dtype="float32")) for x in (self.mean, self.std))
        fits = all(len(x) in (1, channels) for x in (mean, std))
        check(fits, self, f"needs a mean and a std for each of {channels} channels", (self.mean, self.std))
        scale = 1 / (numpy.float32(255 if dtype == "uint8" else 1) * std)
        return tuple(numpy.ascontiguousarray(numpy.broadcast_to(x, channels)) for x in (scale, -mean / std))  # type: ignore[return-value]


@dataclass(frozen=True)
class ColorJitter(Transform):
    """Brightness, contrast and saturation changed, in this order, by factors uniform in [1 - x, 1 + x].

    brightness: f x; contrast: f x + (1 - f) m with m the image's mean grey; saturation: f x + (1 - f) grey, for images
    of three channels. Values are cut to the range of pixels after each.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    draws: ClassVar[int] = 3

    def __post_init__(self) -> None:
        amounts = (self.brightness, self.contrast, self.saturation)
        check(all(isinstance(x, NUMBERS) and 0 <= x <= 1 for x in amounts), self, "amounts must lie in [0, 1]", amounts)

    def __call__(self, images: numpy.ndarray, u: numpy.ndarray) -> numpy.ndarray:
        top = 255 if images.dtype == "uint8" else 1
        amounts = numpy.array([self.brightness, self.contrast, self.saturation])
        factors = (1 + (2 * u - 1) * amounts).astype("float32").T[..., None, None, None]
        x = (images.astype("float32") * factors[0]).clip(0, top)
        x = _blend(x, _grey(x).mean(axis=(2, 3), keepdims=True), factors[1], top)
        if images.shape[1] == 3:
            x = _blend(x, _grey(x), factors[2], top)
        return numpy.rint(x).astype("uint8") if images.dtype == "uint8" else x


def _blend(x: numpy.ndarray, other: numpy.ndarray, factor: numpy.ndarray, top: float) -> numpy.ndarray:
    blend: numpy.ndarray = (x * factor + other * (1 - factor)).clip(0, top)
    return blend


def _grey(x: numpy.ndarray) -> numpy.ndarray:
    """(n, 1, height, width): the brightness of each pixel."""
    weights = GREY if x.shape[1] == 3 else numpy.full(x.shape[1], 1 / max(1, x.shape[1]), dtype="float32")
    grey: numpy.ndarray = numpy.einsum("nchw,c->nhw", x, weights)[:, None]
    return grey
