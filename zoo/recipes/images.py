"""What all recipes for images share: their data, and the batches that are made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy

from needle.data import DataLoader, NDArrayDataset
from needle.data.transforms import Normalize

from ..base import Model
from ..datasets import bars, images
from .base import Data, Recipe


@dataclass(frozen=True)
class ImageRecipe(Recipe):
    """Labelled images in shuffled whole batches, each image changed by the transforms of `augment`."""

    def data(self, folder: str | None = None) -> Data:
        return Data(images(self.dataset, True, folder), images(self.dataset, False, folder))

    def generated(self) -> Data:
        return Data(bars(self.dataset, 128, seed=0), bars(self.dataset, 64, seed=1))

    def augment(self, spec: dict[str, Any]) -> list[Any]:
        """The transforms from pixels to what the model is trained on; `spec` is the image on its card."""
        return [Normalize(spec["mean"], spec["std"])]

    def loader(self, data: Data, model: Model, seed: int, workers: int = 0) -> Any:
        return DataLoader(
            NDArrayDataset(*data.train), self.batch, shuffle=True, drop_last=True,
            seed=seed, augment=self.augment(image_spec(model)), workers=workers,
        )  # fmt: skip


def image_spec(model: Model) -> dict[str, Any]:
    """The image on the model's card: what it takes, or else what it gives."""
    taken: dict[str, Any] = model.card["input"]
    return taken if taken["kind"] == "image" else model.card["output"]


def scale_and_shift(spec: dict[str, Any]) -> tuple[numpy.ndarray, numpy.ndarray]:
    """(pixels / 255 - mean) / std as pixels scale + shift, per channel: two float32 arrays (channels,)."""
    mean, std = (numpy.asarray(spec[key], dtype="float32") for key in ("mean", "std"))
    return 1 / (255 * std), -mean / std


def normalized(pixels: numpy.ndarray, spec: dict[str, Any]) -> numpy.ndarray:
    """uint8 images (n, c, h, w) as float32 (n, c, h, w), scaled and shifted as `spec` says."""
    scale, shift = (each[:, None, None] for each in scale_and_shift(spec))
    array: numpy.ndarray = pixels.astype("float32") * scale + shift
    return array
