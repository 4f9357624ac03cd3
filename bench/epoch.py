"""One epoch of the course's ResNet9 over 50,000 images of 32 x 32, batch 128, crop and flip included, beside PyTorch.

The images are random: time does not depend on what they show. Both sides use the same augmentation code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

import needle as ndl
from bench.models import torch_resnet9
from bench.timing import interleaved, report
from bench.training import THREADS
from needle import nn
from zoo import entry
from zoo.course.models import ResNet9
from zoo.datasets import Split
from zoo.recipes.muon import EpochBatches, MuonRecipe

RECIPE = MuonRecipe(batch=128)


def epoch(step: Callable[[Any, Any], None], data: Split) -> Callable[[], None]:
    """A function that runs `step` on every augmented batch of `data`."""

    def run() -> None:
        for x, y in EpochBatches(data, RECIPE, entry("resnet9").input.spec(), seed=0):
            step(x, y)

    return run


def needle_step() -> Callable[[Any, Any], None]:
    model, loss_fn = ResNet9(device=ndl.cpu()), nn.SoftmaxLoss()
    optimizer = ndl.optim.Adam(model.parameters(), lr=1e-3)

    def step(x: ndl.Tensor, y: ndl.Tensor) -> None:
        optimizer.reset_grad()
        loss_fn(model(x), y).backward()
        optimizer.step()

    return step


def torch_step() -> Callable[[Any, Any], None]:
    model = torch_resnet9()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step(x: ndl.Tensor, y: ndl.Tensor) -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(torch.from_numpy(x.numpy())), torch.from_numpy(y.numpy().astype("int64"))).backward()
        optimizer.step()

    return step


def main() -> None:
    torch.set_num_threads(THREADS)
    rng = np.random.default_rng(0)
    data = Split(rng.integers(0, 256, (50_000, 3, 32, 32), dtype="uint8"), rng.integers(0, 10, 50_000))
    ours, peer = interleaved(epoch(needle_step(), data), epoch(torch_step(), data), rounds=3, warm=False)
    report(f"ResNet9, one CIFAR-10 epoch, batch 128, augmented, {THREADS} threads", ours, peer, "PyTorch")


if __name__ == "__main__":
    main()
