"""Residual networks for small images."""

from __future__ import annotations

from typing import Any

from deploy.card import Image

from .classify import MuonRecipe
from .course import models
from .labels import CIFAR10
from .registry import Model, Tiny, entry, model
from .signature import Labels
from .vision import ImageClassifier

CIFAR10_INPUT = Image(3, 32, 32, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))


@model(
    task="image classification: which of ten kinds of thing a 32 x 32 colour photograph shows",
    data="CIFAR-10 (Krizhevsky 2009): trained on the 50,000 training images, measured on the 10,000 test images",
    input=CIFAR10_INPUT,
    output=Labels(CIFAR10),
    recipe=MuonRecipe(),
    tiny=Tiny(recipe={"epochs": 8, "batch": 32, "crop": 1, "flip": 0.0}),
    licence="MIT (code and weights); the data set publishes no licence, cite Krizhevsky 2009",
    limits="It knows ten classes and always answers with one of them. Trained on 32 x 32 thumbnails, to which larger "
    "photographs are reduced; small shifts can change the answer, for its first layer has stride 4. Not for decisions "
    "about people.",
)
def resnet9(device: Any = None, dtype: str = "float32") -> Model:
    """The course's ResNet9: 431,946 parameters, about half a million useful multiply-adds for one image."""
    return ImageClassifier(models.ResNet9(device=device, dtype=dtype), entry("resnet9").card(), device=device)
