"""The data of the experiments, as a user has them: folders of images by class, and texts."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

from needle.data.datasets.cifar10_dataset import read_cifar10
from needle.errors import DataError

SIGN_TILE, SIGN_ROWS, SIGN_COLUMNS = 64, 20, 25  # of a contact sheet


def home_of(name: str) -> Path:
    """The folder of a data set in NEEDLE_DATA. Raises DataError where it is not there."""
    found = Path(os.environ.get("NEEDLE_DATA", "")) / name
    if not os.environ.get("NEEDLE_DATA") or not found.is_dir():
        raise DataError(f"[bench] there is no data set {name}: set NEEDLE_DATA to the folder around one of that name")
    return found


def fruit(train: bool) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Images uint8 (n, height, width, 3), labels and their names: ten classes of CIFAR-100, fruit and flowers."""
    home = home_of("cifar100-fruit-flowers")
    pixels, labels = read_cifar10(home, train)
    return pixels.transpose(0, 2, 3, 1), labels, (home / "class_names.txt").read_text().split()


def signs(train: bool) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The same of the Sign Language Digits of Mavi 2020: photographs of hands, 64 x 64."""
    home, split = home_of("sign-language-digits-64"), "train" if train else "test"
    labels = np.fromfile(home / f"{split}_labels.bin", dtype="uint8")
    tiles = []
    for path in sorted(home.glob(f"{split}_*.webp")):
        sheet = np.asarray(Image.open(path).convert("RGB"))
        rows = sheet.shape[0] // SIGN_TILE
        tiles.append(
            sheet.reshape(rows, SIGN_TILE, SIGN_COLUMNS, SIGN_TILE, 3).transpose(0, 2, 1, 3, 4).reshape(
                -1, SIGN_TILE, SIGN_TILE, 3
            )
        )  # fmt: skip
    return np.concatenate(tiles)[: len(labels)], labels, [f"digit {i}" for i in range(10)]


IMAGES = {"fruit": fruit, "signs": signs}
TEXTS = {
    "alice": ("alice", "alice_in_wonderland.txt"),
    "sherlock": ("sherlock-holmes", "adventures_of_sherlock_holmes.txt"),
}


def folder(name: str, each: int | None, home: Path) -> Path:
    """A folder with the first `each` training images of every class, or with None the test images."""
    target = home / f"{name}-{each or 'test'}"
    if not target.exists():
        pixels, labels, names = IMAGES[name](each is not None)
        work = target.with_name(f".{target.name}")
        for label, title in enumerate(names):
            (work / title).mkdir(parents=True, exist_ok=True)
            for i in np.flatnonzero(labels == label)[:each]:
                Image.fromarray(pixels[i]).save(work / title / f"{i:05}.png")
        work.rename(target)
    return target


def text(name: str) -> Path:
    """The file of a text."""
    where, file = TEXTS[name]
    return home_of(where) / file
