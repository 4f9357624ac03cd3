"""A training step fed by the data loader beside the same step on one fixed batch: what loading costs.

Random crop, flip, cutout and normalisation of 32 x 32 colour images.
"""

from __future__ import annotations

from functools import cache
from itertools import chain, repeat

import needle as ndl
from bench.case import Sides
from bench.cases.data import rng
from bench.cases.models import training_step
from needle.data import DataLoader, NDArrayDataset
from needle.data.transforms import Cutout, Normalize, RandomCrop, RandomFlip
from zoo.course.models import ResNet9
from zoo.resnet import DawnResNet9

MODELS = {"ResNet9": ResNet9, "DAWN ResNet-9": DawnResNet9}
CROP_FLIP = (RandomCrop(4, "reflect"), RandomFlip(), Normalize((0.49, 0.48, 0.45), (0.25, 0.24, 0.26)))
AUGMENTS = {"crop, flip": CROP_FLIP, "crop, flip, cutout": (*CROP_FLIP, Cutout(8))}


@cache
def data() -> NDArrayDataset:
    return NDArrayDataset(rng.integers(0, 256, (50_000, 3, 32, 32), dtype="uint8"), rng.integers(0, 10, 50_000))


def fed(model: str, batch: int, augment: str, workers: int) -> Sides:
    """The step fed by a loader; its peer is the step alone."""
    settings = {"seed": 0, "augment": AUGMENTS[augment], "workers": workers, "drop_last": True, "device": ndl.cpu()}
    loader = DataLoader(data(), batch, shuffle=True, **settings)
    batches, fixed = chain.from_iterable(repeat(loader)), next(iter(loader))
    network = MODELS[model](device=ndl.cpu())
    step = training_step(network, ndl.optim.Adam(network.parameters(), lr=1e-3))
    return Sides(lambda: step(*next(batches)), {"step alone": lambda: lambda: step(*fixed)})
