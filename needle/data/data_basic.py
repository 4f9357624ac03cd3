"""The data set protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import reprs


class Dataset:
    """Samples by index: subclasses write `__getitem__` and `__len__`.

    An index may be an int (one sample), or a slice or an array of ints (each field stacked over the samples).
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
