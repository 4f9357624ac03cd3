"""Pictures of what a model makes."""

from __future__ import annotations

import os

import numpy

from needle.weights import atomic_write


def grid(images: numpy.ndarray, columns: int = 8, gap: int = 2) -> numpy.ndarray:
    """uint8 images (n, height, width, channels) in rows of `columns`, with `gap` white pixels around each."""
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    page = numpy.full((rows * (height + gap) + gap, columns * (width + gap) + gap, channels), 255, dtype="uint8")
    for place, image in enumerate(images):
        top, left = gap + place // columns * (height + gap), gap + place % columns * (width + gap)
        page[top : top + height, left : left + width] = image
    return page


def save_grid(path: str | os.PathLike[str], images: numpy.ndarray, columns: int = 8) -> None:
    """Write `grid(images, columns)` as PNG, whole or not at all."""
    from PIL import Image

    page = grid(images, columns)
    with atomic_write(path) as file:
        Image.fromarray(page[..., 0] if page.shape[2] == 1 else page).save(file, "PNG")
