"""Training fed with 50,000 colour images of 32 x 32: an epoch, a part of one, and what the data loader costs a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import chain, islice, repeat
from typing import Any

import numpy as np

import needle as ndl
from bench.case import Run, Sides
from bench.cases.data import pytorch, rng
from bench.cases.models import training_step
from needle.data import DataLoader, NDArrayDataset
from needle.data.download import located
from needle.data.transforms import Cutout, Normalize, RandomCrop, RandomFlip
from zoo import datasets, entry
from zoo.course.models import ResNet9
from zoo.datasets import Split
from zoo.models.resnet import DawnResNet9
from zoo.recipes.base import Data
from zoo.recipes.images import image_spec, normalized
from zoo.recipes.muon import EpochBatches, MuonRecipe

Step = Callable[[ndl.Tensor, ndl.Tensor], None]
MODELS = {"ResNet9": ResNet9, "DAWN ResNet-9": DawnResNet9}
CROP_FLIP = (RandomCrop(4, "reflect"), RandomFlip(), Normalize((0.49, 0.48, 0.45), (0.25, 0.24, 0.26)))
AUGMENTS = {"crop, flip": CROP_FLIP, "crop, flip, cutout": (*CROP_FLIP, Cutout(8))}


@cache
def images() -> tuple[np.ndarray, np.ndarray]:
    """As many as CIFAR-10 has, at random: time does not depend on what they show."""
    return rng.integers(0, 256, (50_000, 3, 32, 32), dtype="uint8"), rng.integers(0, 10, 50_000)


def cifar10() -> Split:
    """CIFAR-10's training images where this machine has them, else as many at random."""
    folder = located("cifar-10")
    return datasets.images("cifar-10", True, folder) if folder else Split(*images())


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


def airnet(count: int) -> Sides:
    """So many steps of an epoch of airnet, loader included, as `needle-zoo train airnet` makes them.

    The peer begins with the same weights and follows the same recipe with its own loader, optimizers and schedule.
    """
    data, model = Data(cifar10(), None), entry("airnet").make()
    recipe: Any = entry("airnet").recipe
    recipe.prepare(model, data)
    loader, arrays = recipe.loader(data, model, seed=0), list(model.state_dict().values())
    updates = recipe.epochs * len(loader)

    def peer() -> Run:
        pytorch()  # as many threads as ours
        from bench.torch_airnet import airnet_step, augmented, torch_airnet

        batches = augmented(normalized(data.train.pixels, image_spec(model)), data.train.labels, recipe)
        return next_steps(count, batches, airnet_step(torch_airnet(arrays), recipe, updates))

    ours = next_steps(count, chain.from_iterable(repeat(loader)), recipe.step(model, updates))
    return Sides(ours, {"PyTorch": peer})


def next_steps(count: int, batches: Iterator[Any], step: Callable[..., Any]) -> Run:
    """So many steps, each on a batch of its own."""

    def run() -> None:
        for batch in islice(batches, count):
            step(*batch)

    return run
