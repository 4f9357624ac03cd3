"""A classifier of Fashion-MNIST, small enough to measure with: generated pictures are judged in its features."""

from __future__ import annotations

from typing import Any

from deploy.card import Image

from ..recipes.muon import MuonRecipe
from ..registry import Tiny, model
from ..signature import Labels
from .resnet import CifarResNet

CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


@model(
    name="resnet8-fashion",
    task="image classification: which of ten kinds of clothes, shoes and bags a small grey picture shows",
    data="Fashion-MNIST (Xiao, Rasul and Vollgraf 2017), with a border to 32 x 32: trained on the 60,000 training "
    "images, measured on the 10,000 test images",
    input=Image(1, 32, 32, mean=(0.2190,), std=(0.3318,)),
    output=Labels(CLASSES),
    recipe=MuonRecipe(dataset="fashion-mnist", epochs=20, crop=2),
    tiny=Tiny(
        model={"widths": (4, 8, 8)},
        recipe={"epochs": 5, "batch": 32, "crop": 1, "flip": 0.0},
    ),
    licence="MIT (code and weights); Fashion-MNIST is MIT",
    limits="It knows ten classes and always answers with one of them. Trained on single articles, bright on a black "
    "ground and upright: photographs of people who wear them are nothing that it has seen.",
)
def resnet8_fashion(
    blocks: int = 1, widths: tuple[int, ...] = (16, 32, 64), device: Any = None, dtype: str = "float32"
) -> CifarResNet:
    """ResNet-8 of He et al. 2015 for grey images: 75,002 parameters, 12 million multiply-adds, 64 features."""
    return CifarResNet(blocks, tuple(widths), channels=1, device=device, dtype=dtype)
