"""One epoch of the course's ResNet9 over 50,000 images of 32 x 32, crop and flip included.

The images are random: time does not depend on what they show. Both sides use the same augmentation code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import needle as ndl
from bench.case import Run, Sides
from bench.cases.data import pytorch, rng
from bench.cases.models import training_step
from zoo import entry
from zoo.course.models import ResNet9
from zoo.datasets import Split
from zoo.muon import EpochBatches, MuonRecipe

Step = Callable[[ndl.Tensor, ndl.Tensor], None]


def resnet9(batch: int) -> Sides:
    data = Split(rng.integers(0, 256, (50_000, 3, 32, 32), dtype="uint8"), rng.integers(0, 10, 50_000))

    def epoch(step: Step) -> Run:
        def run() -> None:
            for x, y in EpochBatches(data, MuonRecipe(batch=batch), entry("resnet9").input.spec(), seed=0):
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
    return Sides(epoch(ours), {"PyTorch": lambda: epoch(torch_step())})
