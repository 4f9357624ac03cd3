"""What every transform of a batch is."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy

from ... import reprs
from ...errors import SettingError


class Transform:
    """images' = f(images, u), each image by itself: its result depends on that image and its row of u alone.

    Images are (n, channels, height, width): uint8 from 0 to 255, or floats from 0 to 1 until they are normalised.
    `draws` is how many numbers in [0, 1) each image needs: u is float64 (n, draws).
    """

    draws: ClassVar[int] = 0

    def __repr__(self) -> str:
        return reprs.call(self, reprs.settings(self, every=True))

    def __call__(self, images: numpy.ndarray, u: numpy.ndarray) -> Any:
        raise NotImplementedError

    def numbers(self, u: numpy.ndarray, seed: int, epoch: int, samples: numpy.ndarray) -> numpy.ndarray:
        """What the loader gives as u (n, draws) for `samples` (n,): fresh numbers each epoch, as they were drawn."""
        return u


def whole(u: numpy.ndarray, count: int) -> numpy.ndarray:
    """Uniform on 0 .. count - 1, int64, out of numbers uniform in [0, 1)."""
    return (u * count).astype("int64")


def check(condition: bool, transform: object, needed: str, given: object) -> None:
    """Raise SettingError unless the settings of `transform` are as needed."""
    if not condition:
        raise SettingError(f"[{type(transform).__name__}] {needed}, got {given!r}")
