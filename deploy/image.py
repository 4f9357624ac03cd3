"""An image file as a model's input, as its card says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy

from needle.data.images import read_image

from .card import image_of
from .errors import RunError


def load_image(path: str | Path, card: Mapping[str, Any]) -> numpy.ndarray:
    """(1, C, H, W) float32, prepared as everywhere: cropped, resized, scaled to [0, 1], then (x - mean) / std.

    Raises RunError if the model takes no RGB image, DataError if the file is not one that can be read.
    """
    wanted = image_of(card)
    if wanted is None or wanted.channels != 3:
        raise RunError("[image] the model's card describes no RGB image input; pass a .npy file instead")
    return read_image(path, wanted.spec())[None]
