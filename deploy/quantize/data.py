"""Data to calibrate with and to measure on: a data set by name, a folder of images, a .npy file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy

from needle.data.datasets.cifar10_dataset import read_cifar10
from needle.data.datasets.image_folder import SUFFIXES
from needle.data.datasets.mnist_dataset import read_pair
from needle.data.download import dataset_folder, only_here
from needle.sizes import plain

from ..arrays import read_npy
from ..card import Image, image_of, labels_of
from ..errors import DeployError
from ..image import load_image
from ..ir import Graph, describe

MOST_ROWS, MOST_BYTES = 10_000, 1 << 30
DATASETS = ("cifar-10", "mnist", "fashion-mnist")
IDX = {True: "train", False: "t10k"}


class Sample(NamedTuple):
    """Arrays for the graph's inputs by name, and where they are known the classes of the rows."""

    inputs: dict[str, numpy.ndarray]
    labels: numpy.ndarray | None = None


def read(graph: Graph, source: str, train: bool, most: int = MOST_ROWS) -> Sample:
    """What `source` names, for the graph's one input: of a data set the training or the test images.

    At most so many rows, and MOST_BYTES of them, spread evenly over all there are. Raises DeployError for what is no
    data or does not fit, DataError for files that are damaged or not there.
    """
    path, name = Path(source), _input(graph)
    row = 4 * math.prod(plain(size) for size in graph.given[0].shape[1:])
    most = max(1, min(most, MOST_BYTES // max(row, 1)))
    if path.is_dir():
        return _folder(graph, name, path, most)
    if path.suffix == ".npy":
        array = _array(graph, path)
        return Sample({name: array[spread(len(array), most)]})
    if source in DATASETS:
        return _dataset(graph, name, source, train, most)
    names = ", ".join(DATASETS)
    raise DeployError(f"[quantize] '{source}' is neither a folder of images, a .npy file nor one of {names}")


def _input(graph: Graph) -> str:
    """The name of the graph's only input."""
    if len(graph.given) != 1 or graph.state:
        inputs = ", ".join(x.op.name for x in graph.given)
        raise DeployError(f"[quantize] data are for graphs of one input without state, got the inputs {inputs}")
    return str(graph.given[0].op.name)


def array_of(path: Path) -> numpy.ndarray:
    """The numbers in a .npy file. DeployError where there are none."""
    array = read_npy("quantize", path)
    if array.ndim == 0 or len(array) == 0:
        raise DeployError(f"[quantize] '{path}' holds no rows, its shape is {array.shape}")
    return array


def _array(graph: Graph, path: Path) -> numpy.ndarray:
    array, wanted = array_of(path), graph.given[0].type
    if array.ndim != len(wanted.shape) or array.dtype.kind not in "biuf" or not numpy.isfinite(array).all():
        given = f"{array.dtype}{array.shape}"
        raise DeployError(f"[quantize] '{path}' must be finite rows for {describe(wanted)}, got {given}")
    return array.astype(wanted.dtype)


def _image(graph: Graph) -> Image:
    image = image_of(graph.card)
    if image is None:
        raise DeployError("[quantize] the model's card describes no image: calibrate with a .npy file of its input")
    return image


def spread(size: int, most: int) -> numpy.ndarray:
    """The places of at most so many of `size` rows, at even distances."""
    return numpy.unique(numpy.linspace(0, size - 1, min(size, most)).astype(int))


def _folder(graph: Graph, name: str, folder: Path, most: int) -> Sample:
    """Images in folders named after classes, which are the labels where the model's card has them all, or in one."""
    _image(graph)
    paths = sorted(x for x in folder.rglob("*") if x.suffix.lower() in SUFFIXES and not x.name.startswith("."))
    if not paths:
        raise DeployError(f"[quantize] '{folder}' has no images ({', '.join(SUFFIXES)})")
    paths = [paths[i] for i in spread(len(paths), most)]
    images = numpy.concatenate([load_image(x, graph.card) for x in paths])
    classes, names = labels_of(graph.card), [x.parent.name for x in paths]
    known = all(x in classes for x in names)
    return Sample({name: images}, numpy.array([classes.index(x) for x in names]) if known else None)


def _dataset(graph: Graph, name: str, source: str, train: bool, most: int) -> Sample:
    image = _image(graph)
    with only_here():
        folder = dataset_folder(source)
    if source == "cifar-10":
        pixels, labels = read_cifar10(folder, train)
    else:
        files = (f"{IDX[train]}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1"))
        pixels, labels = read_pair(*(folder / file for file in files))
        pixels = numpy.pad(pixels, ((0, 0), (2, 2), (2, 2)))[:, None]
    if pixels.shape[1:] != (image.channels, image.height, image.width):
        raise DeployError(f"[quantize] the images of {source} are {pixels.shape[1:]}, the model takes {image}")
    rows = spread(len(pixels), most)
    return Sample({name: prepared(pixels[rows], image)}, labels[rows].astype("int64"))


def prepared(pixels: numpy.ndarray, image: Image) -> numpy.ndarray:
    """(pixels / 255 - mean) / std for each channel of (N, C, H, W)."""
    mean, std = (numpy.asarray(x, numpy.float32)[:, None, None] for x in (image.mean, image.std))
    found: numpy.ndarray = pixels.astype(numpy.float32) * (1 / (255 * std)) - mean / std
    return found

