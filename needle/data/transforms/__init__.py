"""Transforms of whole batches of images: functions of the images and of numbers in [0, 1), a row for each image.

    augment = [RandomCrop(4), RandomFlip(), Normalize(mean, std)]
    loader = DataLoader(dataset, 128, shuffle=True, seed=0, augment=augment)

The loader keys the numbers by (seed, epoch, sample). Called by hand: `Compose(*augment)(images, numbers)`.
"""

from .colour import ColorJitter, Normalize, ToFloat
from .compose import Compose
from .geometry import (
    AlternatingFlip,
    CenterCrop,
    Cutout,
    RandomCrop,
    RandomFlip,
    RandomResizedCrop,
    RandomRotation,
    Resize,
)
from .transform import Transform

__all__ = [
    "AlternatingFlip", "CenterCrop", "ColorJitter", "Compose", "Cutout", "Normalize", "RandomCrop", "RandomFlip",
    "RandomResizedCrop", "RandomRotation", "Resize", "ToFloat", "Transform",
]  # fmt: skip
