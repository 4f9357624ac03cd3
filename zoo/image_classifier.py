"""Image models that own their preprocessing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy

import needle as ndl
from needle import nn
from needle.data.images import prepare, read_image
from needle.optim.settings import whole

from .base import Model


class ImageClassifier(Model):
    """net(x), with what it takes to go from an image file to named probabilities: `predict`.

    `forward` takes (batch, channels, height, width), prepared as `card["input"]` says; logits (batch, classes).
    """

    commands = (
        *Model.commands,
        "needle-zoo predict {name} photo.jpg --weights {weights}{plugin}",
        "needle-deploy freeze zoo:{name} --weights {weights} -o {name}.nd{plugin}",
        "needle-deploy run {name}.nd photo.jpg",
        "needle-serve --models {name}.nd",
    )

    def __init__(self, net: nn.Module, card: Mapping[str, Any], device: Any = None) -> None:
        super().__init__()
        self.net, self.card, self.device = net, card, device

    def forward(self, x: ndl.Tensor) -> ndl.Tensor:
        y: ndl.Tensor = self.net(x)
        return y

    def prepare(self, image: Any) -> numpy.ndarray:
        """One image (a path, the bytes of a file, a Pillow image or uint8 (h, w, 3)) as the array `forward` takes."""
        if isinstance(image, str | Path | bytes):
            return read_image(image, self.card["input"])
        return prepare(image, self.card["input"])

    def predict(self, image: Any, top: int | None = None) -> list[tuple[str, float]]:
        """(label, probability) pairs for one image, the most probable first; the best `top` of them if given.

        Raises DataError if the image cannot be read, SettingError for a `top` below 1.
        """
        if top is not None:
            whole("predict", top=top)
        self.warn_if_untrained()
        was_training = self.training
        self.eval()
        try:
            logits = self(ndl.Tensor(self.prepare(image)[None], device=self.device, requires_grad=False)).numpy()[0]
        finally:
            if was_training:
                self.train()
        weights = numpy.exp(logits.astype("float64") - logits.max())
        probabilities = weights / weights.sum()
        order = numpy.argsort(-probabilities, kind="stable")[:top]
        return [(self.card["labels"][i], float(probabilities[i])) for i in order]
