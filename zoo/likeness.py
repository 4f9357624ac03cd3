"""How generated images compare with real ones: their spread, their classes, and whether they are copies."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy

import needle as ndl

from .base import Model
from .recipes.images import image_spec, normalized
from .registry import ZooError, load


class Judged(NamedTuple):
    """What a classifier makes of images: the features (n, d) that its last layer reads, and the classes (n,)."""

    features: numpy.ndarray
    classes: numpy.ndarray


def judge(name: str) -> Model:
    """The classifier `name` with its trained weights.

    Raises ZooError for one whose network has not the two parts `pooled`, images to features, and `classifier`.
    """
    model: Any = load(name, pretrained=True)
    net = getattr(model, "net", None)
    if not hasattr(net, "pooled") or not hasattr(net, "classifier"):
        raise ZooError(f"[likeness] {name} has no `pooled` and `classifier`, in whose features images could be judged")
    return model  # type: ignore[no-any-return]


def judged(model: Any, pixels: numpy.ndarray, batch: int = 500) -> Judged:
    """Of uint8 images (n, c, h, w), `batch` at a time."""
    features, classes = [], []
    for start in range(0, len(pixels), batch):
        x = normalized(pixels[start : start + batch], image_spec(model))
        read = model.net.pooled(ndl.Tensor(x, device=ndl.cpu(), requires_grad=False))
        features.append(read.numpy().astype("float64"))
        classes.append(model.net.classifier(read).numpy().argmax(axis=1))
    return Judged(numpy.concatenate(features), numpy.concatenate(classes))


def frechet(a: numpy.ndarray, b: numpy.ndarray) -> float:
    """|mean(a) - mean(b)|^2 + tr(A + B - 2 (A B)^(1/2)) of features (n, d) and (m, d), A and B their covariances.

    The squared distance of the normal distributions with these means and covariances; more samples make it smaller.
    Source: Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium", 2017.
    """
    apart = a.mean(axis=0) - b.mean(axis=0)
    first, second = numpy.cov(a, rowvar=False), numpy.cov(b, rowvar=False)
    values, vectors = numpy.linalg.eigh(first)
    root = vectors * numpy.sqrt(numpy.maximum(values, 0)) @ vectors.T
    roots = numpy.sqrt(numpy.maximum(numpy.linalg.eigvalsh(root @ second @ root), 0))  # of the eigenvalues of A B
    return float(apart @ apart + numpy.trace(first) + numpy.trace(second) - 2 * roots.sum())


def class_entropy(classes: numpy.ndarray, count: int) -> float:
    """-sum p log p over the frequencies p of `count` classes, as a fraction of log(count): 1 where all are equal."""
    p = numpy.bincount(classes, minlength=count) / len(classes)
    return float(-(p * numpy.log(numpy.where(p > 0, p, 1))).sum() / numpy.log(count)) + 0.0  # not -0


def nearest(images: numpy.ndarray, among: numpy.ndarray, block: int = 4096) -> tuple[numpy.ndarray, numpy.ndarray]:
    """For each of uint8 images (n, c, h, w) the index of the nearest one `among` (m, c, h, w), and how far that is.

    The distance is the root of the mean squared difference of their pixels, which lie between 0 and 1.
    """
    x = _flat(images)
    best, index = numpy.full(len(x), numpy.inf), numpy.zeros(len(x), dtype="int64")
    for start in range(0, len(among), block):
        y = _flat(among[start : start + block])
        apart = (y * y).sum(axis=1) - 2 * x @ y.T  # and |x|^2, the same for all y
        place = apart.argmin(axis=1)
        value = apart[numpy.arange(len(x)), place]
        closer = value < best
        best, index = numpy.where(closer, value, best), numpy.where(closer, start + place, index)
    return index, numpy.sqrt(((x - _flat(among[index])) ** 2).mean(axis=1))


def _flat(images: numpy.ndarray) -> numpy.ndarray:
    return images.reshape(len(images), -1).astype("float32") / numpy.float32(255)
