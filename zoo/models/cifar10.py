"""What all classifiers of CIFAR-10 take and give, and say on their cards."""

from __future__ import annotations

from typing import Any

from deploy.card import Image

from ..signature import Labels

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ABOUT: dict[str, Any] = {
    "task": "image classification: which of ten kinds of thing a 32 x 32 colour photograph shows",
    "data": "CIFAR-10 (Krizhevsky 2009): trained on the 50,000 training images, measured on the 10,000 test images",
    "input": Image(3, 32, 32, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616)),
    "output": Labels(CLASSES),
    "licence": "MIT (code and weights); the data set publishes no licence, cite Krizhevsky 2009",
}
LIMITS = (
    "It knows ten classes and always answers with one of them. Trained on 32 x 32 thumbnails, to which larger "
    "photographs are reduced{}. Not for decisions about people."
)
