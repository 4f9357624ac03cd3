"""Transforms of one image (height, width, channels), whose draws come from numpy's global generator: the course's."""

from __future__ import annotations

import numpy

from ... import reprs


class Transform:
    """A function of one image."""

    def __repr__(self) -> str:
        return reprs.call(self, reprs.settings(self, every=True))

    def __call__(self, x: numpy.ndarray) -> numpy.ndarray:
        raise NotImplementedError


class RandomFlipHorizontal(Transform):
    """The image mirrored left to right with probability p; one draw for each image."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = p

    def __call__(self, img: numpy.ndarray) -> numpy.ndarray:
        flip = numpy.random.rand() < self.p
        return img[:, ::-1, :] if flip else img


class RandomCrop(Transform):
    """The image moved by up to `padding` pixels along each axis, with zeros moving in; one draw of two numbers."""

    def __init__(self, padding: int = 3) -> None:
        self.padding = padding

    def __call__(self, img: numpy.ndarray) -> numpy.ndarray:
        padding = self.padding
        shift_x, shift_y = numpy.random.randint(low=-padding, high=padding + 1, size=2)
        height, width = img.shape[:2]
        padded = numpy.pad(img, ((padding, padding), (padding, padding), (0, 0)))
        top, left = padding + shift_x, padding + shift_y
        return padded[top : top + height, left : left + width]
