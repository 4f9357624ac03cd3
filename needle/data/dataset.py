"""The data set protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy

from .. import reprs

Method = TypeVar("Method", bound=Callable[..., Any])


def batched(getitem: Method) -> Method:
    """Mark a `__getitem__` that takes an array of ints (n,) too, and then returns each field stacked: (n, ...).

    The loader asks a data set whose `__getitem__` is marked for a whole batch at once, any other one for sample after
    sample. The mark belongs to the method: one that overrides it is unmarked until it is marked itself.
    """
    getitem.batched = True  # type: ignore[attr-defined]
    return getitem


def is_batched(dataset: Any) -> bool:
    """Whether `dataset[indices]` is known to be the stacked samples: `__getitem__` is marked, or of numbers."""
    if type(dataset) is numpy.ndarray:
        return dataset.dtype.kind in "biuf"
    return getattr(getattr(type(dataset), "__getitem__", None), "batched", False)


class Dataset:
    """Samples by index: subclasses write `__getitem__` and `__len__`.

    An index is an int (one sample). A `__getitem__` marked with `needle.data.batched` takes an array of ints as well
    (each field stacked over the samples), which makes batches faster; those of needle take slices too.
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]] | None = None) -> None:
        self.transforms = transforms

    def __repr__(self) -> str:
        samples = reprs.length(self)
        return reprs.call(self, [*self._counts(), *reprs.settings(self), *reprs.fields(vars(self), samples)])

    def _counts(self) -> list[str]:
        """How many there are of what this is made of: the samples."""
        samples = reprs.length(self)
        return [] if samples is None else [reprs.count(samples, "sample")]

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def apply_transforms(self, x: Any) -> Any:
        """The sample after every transform in order."""
        for transform in self.transforms or ():
            x = transform(x)
        return x


def each_image(transform: Callable[[Any], Any], images: numpy.ndarray) -> numpy.ndarray:
    """The transform of one image, which has three axes, or of each in a batch (n, ...)."""
    if images.ndim == 3:
        one: numpy.ndarray = transform(images)
        return one
    return numpy.stack([transform(image) for image in images]) if len(images) else images
