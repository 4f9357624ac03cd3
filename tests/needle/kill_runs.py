"""Runs that are killed with SIGKILL and started again, for test_kill.py: `python kill_runs.py FOLDER KIND ...`.

Each attempt is a child of this process (a fork: importing takes longer than training here) that dies at a chosen place,
or at a time that nobody chose. Prints one line for each run: loader, kind, and the sha256 of checkpoint and log.
"""

from __future__ import annotations

import functools
import hashlib
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import needle as ndl
from needle import nn, optim, training, weights
from needle.data import DataLoader, Dataset, NDArrayDataset, transforms

EPOCHS, BATCH, IMAGES = 3, 16, 70


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Noisy(Dataset):
    """Images with noise that is drawn from numpy's global generator each time they are read."""

    def __getitem__(self, index: Any) -> Any:
        x, y = images()
        return x[index] + 0.1 * np.random.randn(*x[index].shape).astype("float32"), y[index]

    def __len__(self) -> int:
        return IMAGES


def images() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.RandomState(1)
    return rng.randn(IMAGES, 3, 12, 12).astype("float32"), (np.arange(IMAGES) % 4).astype("float32")


def loader(keyed: bool) -> DataLoader:
    if not keyed:
        return DataLoader(Noisy(), batch_size=BATCH, shuffle=True)
    augment = [transforms.RandomCrop(2), transforms.RandomFlip()]
    return DataLoader(NDArrayDataset(*images()), BATCH, shuffle=True, seed=3, workers=2, augment=augment)


class Killed(ndl.TrainStep):
    """Dies in the place of the step number `at` of this attempt."""

    at = left = 0

    def __call__(self, *batch: Any) -> dict[str, float]:
        self.left += 1
        if self.left == self.at:
            die()
        return super().__call__(*batch)


def train(folder: Path, keyed: bool, at: int = 0) -> None:
    """A small network with everything that has a state: the run that must end with the same bytes."""
    np.random.seed(11)
    head = [nn.Flatten(), nn.Dropout(0.2), nn.Linear(16 * 6 * 6, 4)]
    model = nn.Sequential(nn.Conv(3, 16, 3, stride=2), nn.BatchNorm2d(16), nn.ReLU(), *head)
    opt = optim.Adam(model.parameters())
    schedule = optim.OneCycle(opt, EPOCHS * 5 // 2, peak=0.01)
    step = Killed(model, nn.SoftmaxLoss(), opt, schedule, clip_norm=1.0, accumulate=2)
    step.at = at
    options: dict[str, Any] = {"save_every": 2, "log_every": 3, "config": {"keyed": keyed}}
    ndl.fit(step, loader(keyed), EPOCHS, folder=folder, evaluate=lambda: {"random": np.random.rand()}, **options)


def dying_in(name: str, count: int) -> None:
    """Let the process die in the `count`-th call of a function of `os` that writing a file uses."""
    real, calls = getattr(os, name), iter(range(10**9))

    def patched(*args: Any, **options: Any) -> Any:
        if next(calls) + 1 < count:
            return real(*args, **options)
        if name == "fdopen":  # when half of the file is written
            file = real(*args, **options)
            write = file.write

            class Half:
                def __enter__(self) -> Half:
                    return self

                def __exit__(self, *_: object) -> None: ...

                def write(self, data: bytes) -> None:
                    write(data[: len(data) // 2])
                    file.flush()
                    die()

            return Half()
        die()

    setattr(weights.os, name, patched)


def attempt(run: Callable[[], None], kill_after: float | None = None) -> bool:
    """Run in a child; True when it came to its end, False when it was killed. Any other end is an error."""
    child = os.fork()
    if child == 0:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            run()
            os._exit(0)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            os._exit(1)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if status != 0 and not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
        raise SystemExit(f"the run ended with status {status}")
    return status == 0


def report(loader: str, kind: str, folder: Path) -> None:
    left = sorted(path.name for path in folder.iterdir())
    assert set(left) <= {"checkpoint.safetensors", "log.csv", "times.csv"}, left
    contents = [(folder / each).read_bytes() for each in left if each != "times.csv"]
    print(loader, kind, *(hashlib.sha256(each).hexdigest() for each in contents), flush=True)


def killed_in_steps(run: Callable[..., None]) -> None:
    for at in (1, 2, 4, 6, 3):  # of the steps that are made after each start
        assert not attempt(functools.partial(run, at))


def killed_in_writes(run: Callable[..., None]) -> None:
    for place, count in (("fdopen", 1), ("fdopen", 3), ("fsync", 2), ("replace", 2), ("replace", 5), ("fdopen", 4)):

        def dying(place: str = place, count: int = count) -> None:
            dying_in(place, count)
            run()

        assert not attempt(dying), place


def killed_at_times(run: Callable[..., None]) -> None:
    rng = random.Random(5)
    for _ in range(6):
        attempt(run, kill_after=rng.uniform(0.02, 0.15))


KINDS = {"whole": lambda run: None, "steps": killed_in_steps, "writes": killed_in_writes, "times": killed_at_times}


def main(home: Path, kinds: list[str]) -> None:
    training.History.plot = lambda *_: None  # drawing takes longer than training here
    for keyed in (True, False):
        for kind in kinds:
            folder = home / f"{keyed}-{kind}"
            run = functools.partial(train, folder, keyed)
            KINDS[kind](run)
            assert attempt(run)
            report("keyed" if keyed else "drawn", kind, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
