"""A training step fed by the data loader beside the same step on one fixed batch: what loading costs.

Random crop, flip, cutout and normalisation of 32 x 32 colour images. Both programs take turns of a tenth of a second,
so that a machine that others use favours neither, and the cost is the median of the turns' ratios.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from itertools import chain, product, repeat
from typing import Any

import numpy as np

import needle as ndl
from bench.timing import report
from needle import nn
from needle.backend_ndarray import ndarray_backend_cpu
from needle.data import DataLoader, NDArrayDataset
from needle.data.transforms import Cutout, Normalize, RandomCrop, RandomFlip
from zoo.course.models import ResNet9
from zoo.models.resnet import DawnResNet9

THREADS = ndarray_backend_cpu.num_threads()
TURN, TURNS = 0.1, 40  # seconds of one turn, how many turns
CROP_FLIP = (RandomCrop(4, "reflect"), RandomFlip(), Normalize((0.49, 0.48, 0.45), (0.25, 0.24, 0.26)))
AUGMENTS = {"crop, flip": CROP_FLIP, "crop, flip, cutout": (*CROP_FLIP, Cutout(8))}


def training_step(model: nn.Module) -> Callable[[Any, Any], None]:
    optimizer, loss_fn = ndl.optim.Adam(model.parameters(), lr=1e-3), nn.SoftmaxLoss()

    def step(x: ndl.Tensor, y: ndl.Tensor) -> None:
        optimizer.reset_grad()
        loss_fn(model(x), y).backward()
        optimizer.step()

    return step


def compare(step: Callable[[Any, Any], None], loader: DataLoader) -> tuple[float, float]:
    """(seconds of a step fed by the loader, seconds of the step alone), medians over the turns."""
    fixed = next(iter(loader))
    feeds = chain.from_iterable(repeat(loader)), repeat(fixed)
    started = time.perf_counter()
    for _ in range(10):
        step(*fixed)
    steps = max(1, round(TURN / ((time.perf_counter() - started) / 10)))
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(TURNS):
        for feed, kept in zip(feeds, times, strict=True):
            started = time.perf_counter()
            for _ in range(steps):
                step(*next(feed))
            kept.append((time.perf_counter() - started) / steps)
    alone = statistics.median(times[1])
    return alone * statistics.median(a / b for a, b in zip(*times, strict=True)), alone


def main() -> None:
    rng = np.random.default_rng(0)
    data = NDArrayDataset(rng.integers(0, 256, (50_000, 3, 32, 32), dtype="uint8"), rng.integers(0, 10, 50_000))
    small, large = (training_step(make(device=ndl.cpu())) for make in (ResNet9, DawnResNet9))
    cases = [("ResNet9", small, 128), ("ResNet9", small, 32), ("DAWN ResNet-9", large, 32)]
    for (model, step, batch), (name, augment), workers in product(cases, AUGMENTS.items(), (1, 2, 0)):
        if workers != 1 and (step is large or augment is CROP_FLIP):
            continue
        settings = {"seed": 0, "augment": augment, "workers": workers, "drop_last": True, "device": ndl.cpu()}
        what = f"{model}, batch {batch}, {name}, workers={workers}, {THREADS} threads"
        if all(word in what for word in sys.argv[1:]):
            loader = DataLoader(data, batch, shuffle=True, **settings)
            report(what, *compare(step, loader), "step alone", cost=True)


if __name__ == "__main__":
    main()
