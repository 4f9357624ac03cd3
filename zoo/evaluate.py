"""Recompute the numbers on a model's card."""

from __future__ import annotations

import numpy

import needle as ndl

from .datasets import Split, cifar10
from .registry import Entry, Model, ZooError, load
from .train import scale_and_shift

DRIFT = 0.0005  # of accuracy: what another processor's rounding may change, five images of ten thousand


def logits(model: Model, pixels: numpy.ndarray, batch: int = 1000) -> numpy.ndarray:
    """The model's answers for uint8 images (n, c, h, w), `batch` at a time."""
    scale, shift = (each[:, None, None] for each in scale_and_shift(model.card["input"]))
    parts = []
    for start in range(0, len(pixels), batch):
        x = pixels[start : start + batch].astype("float32") * scale + shift
        parts.append(model(ndl.Tensor(x, device=ndl.cpu(), requires_grad=False)).numpy())
    return numpy.concatenate(parts)


def metrics(model: Model, test: Split) -> dict[str, float]:
    """Fractions of the test images whose label is the most probable one.

    `top1`: of the image as it is. `top1_mirrored`: of the mean of the logits for the image and for its mirror image.
    """
    plain = logits(model, test.pixels)
    mirrored = plain + logits(model, numpy.ascontiguousarray(test.pixels[..., ::-1]))
    return {
        name: float(numpy.mean(answers.argmax(axis=1) == test.labels))
        for name, answers in (("top1", plain), ("top1_mirrored", mirrored))
    }


def evaluate(entry: Entry, data: str | None = None) -> bool:
    """Print each recorded run's metrics beside what its weights give now; True if none drifted by more than DRIFT.

    Raises ZooError when the model was not trained yet or the test data cannot be found.
    """
    if not entry.runs:
        raise ZooError(f"[evaluate] {entry.name} has no recorded runs: needle-zoo train {entry.name} --record")
    test = cifar10(train=False, folder=data)
    now = {run.seed: metrics(load(entry.name, pretrained=True, seed=run.seed), test) for run in entry.runs}
    steady = True
    for run in entry.runs:
        for metric, recorded in run.metrics.items():
            same = abs(now[run.seed][metric] - recorded) <= DRIFT
            steady &= same
            verdict = "" if same else "  DRIFTED"
            found = 100 * now[run.seed][metric]
            print(f"seed {run.seed}  {metric:<14} recorded {100 * recorded:6.2f} %  now {found:6.2f} %{verdict}")
    for metric in entry.measured:
        values = [100 * result[metric] for result in now.values()]
        spread = f"standard deviation {numpy.std(values):.2f}"
        print(f"mean    {metric:<14} {numpy.mean(values):.2f} % over {len(values)} seeds, {spread}")
    return steady
