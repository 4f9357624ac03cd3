"""Data sets as whole arrays, found on this machine or downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy

from needle.data.datasets.cifar10_dataset import read_cifar10
from needle.data.download import dataset_folder


class Split(NamedTuple):
    """The images of one split, uint8 (n, channels, height, width), and their labels (n,)."""

    pixels: numpy.ndarray
    labels: numpy.ndarray


def cifar10(train: bool, folder: str | Path | None = None) -> Split:
    """CIFAR-10's training or test split, from `folder`, from NEEDLE_DATA, or downloaded and checked.

    Raises DataError if it is not there and cannot be fetched.
    """
    return Split(*read_cifar10(folder or dataset_folder("cifar-10"), train))
