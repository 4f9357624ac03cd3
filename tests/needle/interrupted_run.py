"""A run that sends itself a signal, for test_interrupts.py: `python interrupted_run.py FOLDER LOADER SIGNAL WHERE`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

import needle as ndl
from needle import nn, optim, training, weights
from needle.data import DataLoader, NDArrayDataset, transforms

EPOCHS = 2


class Signalled(ndl.TrainStep):
    """Sends `signals` to its own process in the middle of the step number `at`."""

    signals: tuple[int, ...] = ()
    at, calls = 3, 0

    def loss(self, *batch: Any) -> ndl.Tensor:
        self.calls += 1
        for number in self.signals if self.calls == self.at else ():
            os.kill(os.getpid(), number)
        return super().loss(*batch)


def loader(kind: str) -> DataLoader:
    rng = np.random.RandomState(1)
    images = NDArrayDataset(rng.randn(50, 3, 6, 6).astype("float32"), (np.arange(50) % 4).astype("float32"))
    if kind == "drawn":
        return DataLoader(images, 10, shuffle=True)
    augment = [transforms.RandomCrop(1), transforms.RandomFlip()]
    return DataLoader(images, 10, shuffle=True, seed=3, workers=2, augment=augment)


def train(folder: Path, kind: str, signals: tuple[int, ...] = (), **options: Any) -> ndl.training.History:
    """Five steps an epoch, with draws in the model, accumulated gradients, a schedule and an average."""
    np.random.seed(11)
    model = nn.Sequential(nn.Flatten(), nn.Linear(108, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 4))
    opt = optim.Adam(model.parameters())
    schedule = optim.OneCycle(opt, EPOCHS * 5 // 2, peak=0.01)
    average = optim.WeightAverage(model.parameters(), decay=0.5)
    step = Signalled(model, nn.SoftmaxLoss(), opt, schedule, accumulate=2, average=average)
    step.signals = signals
    return ndl.fit(step, loader(kind), EPOCHS, folder=folder, evaluate=lambda: {"random": np.random.rand()}, **options)


def main(folder: Path, kind: str, name: str, where: str) -> None:
    training.History.plot = lambda *_: None  # drawing takes longer than training here
    number = signal.Signals[name]
    if where == "twice":
        train(folder, kind, (number, number))
    if where == "later":  # when a line about the first epoch was printed
        Signalled.at = 8
    if where == "while saving":  # the second signal comes when the checkpoint is half written
        real = os.fsync

        def fsync(file: int) -> None:
            real(file)
            os.kill(os.getpid(), number)

        weights.os.fsync = fsync
    train(folder, kind, (number,))
    print("not reached")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
