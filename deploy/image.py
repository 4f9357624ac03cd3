"""An image file as a model's input, as its card says."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy
from PIL import Image as Pillow

from .card import image_of
from .errors import RunError

MAX_PIXELS = 50_000_000


def load_image(path: str | PathLike[str], card: Mapping[str, Any]) -> numpy.ndarray:
    """(1, C, H, W) float32: the file's pixels, resized to the card's size, scaled to [0, 1], then (x - mean) / std.

    Raises RunError if the card describes no image input or the file is not an image.
    """
    wanted = image_of(card)
    if wanted is None:
        raise RunError("[image] the model's card describes no image input; pass a .npy file instead")
    try:
        with Pillow.open(path) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise RunError(f"[image] '{path}' has more than {MAX_PIXELS} pixels")
            image = opened.convert("RGB" if wanted.channels == 3 else "L")
    except (OSError, Pillow.DecompressionBombError) as error:
        raise RunError(f"[image] '{path}' is not an image that can be read: {error}") from error
    if image.size != (wanted.width, wanted.height):
        image = image.resize((wanted.width, wanted.height), Pillow.Resampling.BILINEAR)
    pixels = numpy.asarray(image, dtype=numpy.float32).reshape(wanted.height, wanted.width, wanted.channels) / 255
    mean, std = (numpy.asarray(x, dtype=numpy.float32) for x in (wanted.mean, wanted.std))
    return numpy.ascontiguousarray(((pixels - mean) / std).transpose(2, 0, 1)[None])
