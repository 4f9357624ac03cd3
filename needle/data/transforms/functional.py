"""Transforms of whole batches of images (n, channels, height, width) as functions; the generator is an argument."""

from __future__ import annotations

from typing import Any

import numpy

from ...backend_ndarray import NDArray, ndarray_backend_cpu
from ...backend_selection import BACKEND, cpu

PADDINGS = {"zero": "constant", "reflect": "reflect"}


def random_crop(x: numpy.ndarray, padding: int, rng: numpy.random.Generator, mode: str = "zero") -> numpy.ndarray:
    """Each image moved by up to `padding` pixels along both axes.

    What moves in is zero, or with mode "reflect" the image mirrored at its border. Draws one pair of shifts for each
    image. Raises ValueError for another mode.
    """
    if mode not in PADDINGS:
        raise ValueError(f"[random_crop] mode must be one of {', '.join(PADDINGS)}, got {mode!r}")
    top, left = rng.integers(0, 2 * padding + 1, size=(2, len(x)))
    return padded_crop(x, top, left, padding, mode)


def padded_crop(x: numpy.ndarray, top: numpy.ndarray, left: numpy.ndarray, padding: int, mode: str) -> numpy.ndarray:
    """Each image cut out of itself padded by `padding`, from row top[i] and column left[i] on."""
    _, _, height, width = x.shape
    sides = (padding, padding)
    padded = numpy.pad(x, ((0, 0), (0, 0), sides, sides), mode=PADDINGS[mode])  # type: ignore[call-overload]
    out = numpy.empty_like(x)
    for i in range(len(x)):
        out[i] = padded[i, :, top[i] : top[i] + height, left[i] : left[i] + width]
    return out


def random_flip(x: numpy.ndarray, rng: numpy.random.Generator, p: float = 0.5) -> numpy.ndarray:
    """Each image mirrored left to right with probability p; one draw for each image."""
    return mirrored(x, rng.random(len(x)) < p)


def training_batch(
    pixels: numpy.ndarray, chosen: numpy.ndarray, rng: numpy.random.Generator, *, crop: int = 0, mode: str = "zero",
    flip: float = 0.0, scale: numpy.ndarray, shift: numpy.ndarray,
) -> Any:  # fmt: skip
    """random_flip(random_crop(pixels[chosen])) scale + shift in one pass: a float32 array (n, c, h, w) of the backend.

    `pixels` is a whole data set, uint8 (images, c, h, w); `chosen` (n,) are indices into it; scale and shift (c,) are
    float32. The draws are those of `random_crop`, then of `random_flip` with probability `flip`. Raises ValueError
    for an index outside the data set, another mode, or a `crop` that is not less than the images' size.
    """
    if mode not in PADDINGS:
        raise ValueError(f"[training_batch] mode must be one of {', '.join(PADDINGS)}, got {mode!r}")
    if BACKEND == "np":
        changed = random_flip(random_crop(pixels[chosen], crop, rng, mode), rng, flip).astype("float32")
        return changed * scale[:, None, None] + shift[:, None, None]
    top, left = rng.integers(0, 2 * crop + 1, size=(2, len(chosen)))
    mirror = (rng.random(len(chosen)) < flip).astype("uint8")
    batch = NDArray.make((len(chosen), *pixels.shape[1:]), device=cpu())
    indices = numpy.asarray(chosen, dtype="int64")
    ndarray_backend_cpu.image_batch(
        pixels, indices, top, left, mirror, crop, mode == "reflect", scale, shift, batch._handle
    )
    return batch


def cutout(x: numpy.ndarray, size: int, rng: numpy.random.Generator) -> numpy.ndarray:
    """Each image with a square of `size` pixels around a random centre set to zero; cut off at the border.

    Source: DeVries and Taylor, "Improved regularization of convolutional neural networks with cutout", 2017.
    """
    n, _, height, width = x.shape
    rows, columns = rng.integers(0, height, size=(n,)), rng.integers(0, width, size=(n,))
    return covered(x, rows, columns, size)


def covered(x: numpy.ndarray, rows: numpy.ndarray, columns: numpy.ndarray, size: int) -> numpy.ndarray:
    """The images with zeros in the squares of `size` pixels around (rows[i], columns[i])."""
    out = x.copy()
    for image, row, column in zip(out, (rows - size // 2).tolist(), (columns - size // 2).tolist(), strict=True):
        image[:, max(row, 0) : max(row + size, 0), max(column, 0) : max(column + size, 0)] = 0
    return out


def mirrored(x: numpy.ndarray, which: numpy.ndarray) -> numpy.ndarray:
    """The images, those where `which` (n,) is true mirrored left to right."""
    out = x.copy()
    out[which] = x[which, :, :, ::-1]
    return out
