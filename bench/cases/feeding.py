"""Training fed with 50,000 colour images of 32 x 32: a whole epoch, and what the data loader costs a step."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import chain, repeat
from typing import Any

import numpy as np

import needle as ndl
from bench.case import Run, Sides
from bench.cases.data import pytorch, rng
from bench.cases.models import training_step
from needle.data import DataLoader, NDArrayDataset
from needle.data.transforms import Cutout, Normalize, RandomCrop, RandomFlip
from zoo import entry
from zoo.course.models import ResNet9
from zoo.datasets import Split
from zoo.models.resnet import DawnResNet9
from zoo.recipes.muon import EpochBatches, MuonRecipe

Step = Callable[[ndl.Tensor, ndl.Tensor], None]
MODELS = {"ResNet9": ResNet9, "DAWN ResNet-9": DawnResNet9}
CROP_FLIP = (RandomCrop(4, "reflect"), RandomFlip(), Normalize((0.49, 0.48, 0.45), (0.25, 0.24, 0.26)))
AUGMENTS = {"crop, flip": CROP_FLIP, "crop, flip, cutout": (*CROP_FLIP, Cutout(8))}


@cache
def images() -> tuple[np.ndarray, np.ndarray]:
    """As many as CIFAR-10 has, at random: time does not depend on what they show."""
    return rng.integers(0, 256, (50_000, 3, 32, 32), dtype="uint8"), rng.integers(0, 10, 50_000)


def fed(model: str, batch: int, augment: str, workers: int) -> Sides:
    """The step fed by a loader with random crop, flip, cutout and normalisation; its peer is the step alone."""
    settings = {"seed": 0, "augment": AUGMENTS[augment], "workers": workers, "drop_last": True, "device": ndl.cpu()}
    loader = DataLoader(NDArrayDataset(*images()), batch, shuffle=True, **settings)
    batches, fixed = chain.from_iterable(repeat(loader)), next(iter(loader))
    network = MODELS[model](device=ndl.cpu())
    step = training_step(network, ndl.optim.Adam(network.parameters(), lr=1e-3))
    return Sides(lambda: step(*next(batches)), {"step alone": lambda: lambda: step(*fixed)})


def epoch(batch: int) -> Sides:
    """One epoch of the course's ResNet9, crop and flip included; both sides use the same augmentation code."""
    split = Split(*images())

    def over_all(step: Step) -> Run:
        def run() -> None:
            for x, y in EpochBatches(split, MuonRecipe(batch=batch), entry("resnet9").input.spec(), seed=0):
                step(x, y)

        return run

    def torch_step() -> Step:
        from bench.torch_models import torch_resnet9

        t = pytorch()
        peer: Any = torch_resnet9()
        step = t.training_step(peer, t.torch.optim.Adam(peer.parameters(), lr=1e-3))
        return lambda x, y: step(t.torch.from_numpy(x.numpy()), t.torch.from_numpy(y.numpy().astype("int64")))

    model = ResNet9(device=ndl.cpu())
    ours = training_step(model, ndl.optim.Adam(model.parameters(), lr=1e-3))
    return Sides(over_all(ours), {"PyTorch": lambda: over_all(torch_step())})
