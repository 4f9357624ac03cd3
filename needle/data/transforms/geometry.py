"""Transforms that move, cut or cover pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy

from ...errors import SettingError
from ...keyed_random import SIDE, key_of, uniform
from ...types import INTEGERS, NUMBERS
from .functional import PADDINGS, covered, mirrored, padded_crop
from .transform import Transform, check, whole


@dataclass(frozen=True)
class RandomCrop(Transform):
    """Each image moved by up to `padding` pixels along both axes; what moves in is zero, or with mode "reflect" the
    image mirrored at its border. Raises SettingError if `padding` is negative or not less than the images' size.
    """

    padding: int = 4
    mode: str = "zero"
    draws: ClassVar[int] = 2

    def __post_init__(self) -> None:
        check(self.padding >= 0, self, "padding must not be negative", self.padding)
        check(self.mode in PADDINGS, self, f"mode must be one of {', '.join(PADDINGS)}", self.mode)

    def shifts(self, u: numpy.ndarray) -> numpy.ndarray:
        """(2, n): the first row and column, counted from the padding's, that stay."""
        return numpy.ascontiguousarray(whole(u, 2 * self.padding + 1).T)

    def __call__(self, images: numpy.ndarray, u: numpy.ndarray) -> numpy.ndarray:
        fits = self.padding < max(1, min(images.shape[2:]))
        check(fits, self, f"padding must be less than the images' height and width {images.shape[2:]}", self.padding)
        top, left = self.shifts(u)
        return padded_crop(images, top, left, self.padding, self.mode)


@dataclass(frozen=True)
class RandomFlip(Transform):
    """Each image mirrored left to right with probability p."""

    p: float = 0.5
    draws: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check(0 <= self.p <= 1, self, "p must be a probability", self.p)

    def mirrored(self, u: numpy.ndarray) -> numpy.ndarray:
        """(n,) whether each image is."""
        return u[:, 0] < self.p

    def __call__(self, images: numpy.ndarray, u: numpy.ndarray) -> numpy.ndarray:
        return mirrored(images, self.mirrored(u))


@dataclass(frozen=True)
class AlternatingFlip(Transform):
    """Each image mirrored left to right in every other epoch; a coin of its own says whether in the even ones.

    Two epochs show every image from both sides, where a fair coin each epoch shows half of them twice from one.
    Source: Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024, section 3.6.
    """

    draws: ClassVar[int] = 1

    def numbers(self, u: numpy.ndarray, seed: int, epoch: int, samples: numpy.ndarray) -> numpy.ndarray:
        return (uniform(key_of(seed, 0, SIDE), samples, 1) + 0.5 * (epoch % 2)) % 1.0

    def __call__(self, images: numpy.ndarray, u: numpy.ndarray) -> numpy.ndarray:
        return mirrored(images, u[:, 0] < 0.5)


@dataclass(frozen=True)
class Cutout(Transform):
    """Each image with a square of `size` pixels around a random centre set to zero; cut off at the border.

    Source: DeVries and Taylor, "Improved regularization of convolutional neural networks with cutout", 2017.
    """

    size: int = 8
    draws: ClassVar[int] = 2

    def __post_init__(self) -> None:
        check(0 <= self.size < 1 << 31, self, "size must not be negative or beyond any image", self.size)

    def centres(self, images_shape: tuple[int, ...], u: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
        """(rows (n,), columns (n,)) of the squares' centres."""
        return whole(u[:, 0], images_shape[2]), whole(u[:, 1], images_shape[3])

    def __call__(self, images: numpy.ndarray, u: numpy.ndarray) -> numpy.ndarray:
        return covered(images, *self.centres(images.shape, u), self.size)


@dataclass(frozen=True)
class CenterCrop(Transform):
    """The `size` x `size` pixels (or (height, width)) around the centre. Raises SettingError for smaller images."""

    size: int | tuple[int, int]

    def __call__(self, images: numpy.ndarray, u: numpy.ndarray) -> numpy.ndarray:
        height, width = _pair(self.size)
        fits = height <= images.shape[2] and width <= images.shape[3]
        check(fits, self, f"images must be at least {height} x {width}", images.shape[2:])
        top, left = (images.shape[2] - height) // 2, (images.shape[3] - width) // 2
        return images[:, :, top : top + height, left : left + width]


@dataclass(frozen=True)
class Resize(Transform):
    """Each image scaled to `size` x `size` (or (height, width)), bilinear and antialiased, as Pillow does."""

    size: int | tuple[int, int]

    def __call__(self, images: numpy.ndarray, u: numpy.ndarray) -> numpy.ndarray:
        height, width = _pair(self.size)
        return _planes(images, (height, width), lambda plane, i: plane.resize((width, height), BILINEAR))


@dataclass(frozen=True)
class RandomResizedCrop(Transform):
    """A random part of each image scaled to `size` x `size` (or (height, width)), bilinear and antialiased.

    The part's area is uniform in `scale` (as a share of the image), the logarithm of its width over height uniform in
    that of `ratio`, its place uniform; a part wider or higher than the image is cut to it.
    Source: Szegedy et al., "Going deeper with convolutions", 2014.
    """

    size: int | tuple[int, int]
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    draws: ClassVar[int] = 4

    def __post_init__(self) -> None:
        for name in ("scale", "ratio"):
            pair = getattr(self, name)
            numbers = isinstance(pair, tuple | list) and len(pair) == 2
            check(numbers and all(isinstance(n, NUMBERS) for n in pair), self, f"{name} must be two numbers", pair)
        check(0 < self.scale[0] <= self.scale[1] <= 1, self, "scale must be two shares in (0, 1]", self.scale)
        check(0 < self.ratio[0] <= self.ratio[1], self, "ratio must be two positive numbers in order", self.ratio)

    def boxes(self, images_shape: tuple[int, ...], u: numpy.ndarray) -> numpy.ndarray:
        """(n, 4) left, top, right, bottom of the parts, in pixels."""
        height, width = images_shape[2:]
        area = (self.scale[0] + u[:, 0] * (self.scale[1] - self.scale[0])) * height * width
        low, high = numpy.log(self.ratio)
        ratio = numpy.exp(low + u[:, 1] * (high - low))
        w, h = numpy.minimum(numpy.sqrt(area * ratio), width), numpy.minimum(numpy.sqrt(area / ratio), height)
        left, top = u[:, 2] * (width - w), u[:, 3] * (height - h)
        return numpy.stack([left, top, numpy.minimum(left + w, width), numpy.minimum(top + h, height)], axis=1)

    def __call__(self, images: numpy.ndarray, u: numpy.ndarray) -> numpy.ndarray:
        (height, width), boxes = _pair(self.size), self.boxes(images.shape, u).tolist()
        return _planes(
            images, (height, width), lambda plane, i: plane.resize((width, height), BILINEAR, box=tuple(boxes[i]))
        )


@dataclass(frozen=True)
class RandomRotation(Transform):
    """Each image turned about its centre by up to `degrees` either way, bilinear; what turns in is zero."""

    degrees: float = 15.0
    draws: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check(isinstance(self.degrees, int | float), self, "degrees must be a number", self.degrees)

    def __call__(self, images: numpy.ndarray, u: numpy.ndarray) -> numpy.ndarray:
        angles = ((2 * u[:, 0] - 1) * self.degrees).tolist()
        return _planes(images, images.shape[2:], lambda plane, i: plane.rotate(angles[i], BILINEAR))


BILINEAR: Any = 2  # PIL.Image.Resampling.BILINEAR, without importing Pillow for those who do not scale


def _planes(images: numpy.ndarray, size: tuple[int, ...], change: Callable[[Any, int], Any]) -> numpy.ndarray:
    """`change(plane, i)` of each channel of image i as a Pillow image: (n, channels, *size) of the images' dtype."""
    from PIL import Image

    out = numpy.empty((*images.shape[:2], *size), dtype=images.dtype)
    for i, image in enumerate(images if images.dtype == "uint8" else images.astype("float32")):
        for c, plane in enumerate(image):
            out[i, c] = numpy.asarray(change(Image.fromarray(numpy.ascontiguousarray(plane)), i))
    return out


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    pair = (size, size) if isinstance(size, INTEGERS) else size
    two = isinstance(pair, tuple | list) and len(pair) == 2
    if not two or not all(isinstance(n, INTEGERS) and 0 < n < 2**15 for n in pair):
        raise SettingError(f"[transforms] size must be one or two whole numbers from 1 on, got {size!r}")
    return int(pair[0]), int(pair[1])
