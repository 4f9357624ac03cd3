"""Data sets of images as whole arrays: found on this machine, downloaded, or made up."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy

from needle.data.datasets.cifar10_dataset import read_cifar10
from needle.data.datasets.mnist_dataset import read_pair
from needle.data.download import dataset_folder
from needle.errors import DataError

IDX_FILES = {True: "train", False: "t10k"}
CHANNELS = {"cifar-10": 3, "mnist": 1, "fashion-mnist": 1}


class Split(NamedTuple):
    """The images of one split, uint8 (n, channels, 32, 32), and their labels (n,)."""

    pixels: numpy.ndarray
    labels: numpy.ndarray


def images(name: str, train: bool, folder: str | Path | None = None) -> Split:
    """The training or test split of CHANNELS' data set `name`, from `folder`, NEEDLE_DATA, or downloaded and checked.

    Images of 28 x 28 get a black border of two pixels. Raises DataError if it is not there and cannot be fetched.
    """
    if name not in CHANNELS:
        raise DataError(f"[datasets] there is no data set of images {name!r}; there are {', '.join(CHANNELS)}")
    home = Path(folder or dataset_folder(name))
    if name == "cifar-10":
        return Split(*read_cifar10(home, train))
    files = (f"{IDX_FILES[train]}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1"))
    pixels, labels = read_pair(*(home / file for file in files))
    return Split(numpy.pad(pixels, ((0, 0), (2, 2), (2, 2)))[:, None], labels.astype("int64"))


def bars(name: str, count: int, seed: int) -> Split:
    """Made-up images in the format of data set `name`: on noise, each class is a bright bar at its own height."""
    rng = numpy.random.default_rng(seed)
    labels = rng.integers(0, 10, count)
    pixels = rng.integers(0, 90, (count, CHANNELS[name], 32, 32), dtype="uint8")
    for image, label in zip(pixels, labels, strict=True):
        image[:, 3 * label : 3 * label + 4] += 150
    return Split(pixels, labels)
