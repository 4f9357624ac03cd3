"""The data set protocol and the loader that cuts a data set into batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy

from ..autograd import Tensor


class Dataset:
    """Samples by index: subclasses write `__getitem__` and `__len__`.

    An index may be an int (one sample), or a slice or an array of ints (each field stacked over the samples).
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]] | None = None) -> None:
        self.transforms = transforms

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def apply_transforms(self, x: Any) -> Any:
        """The sample after every transform in order."""
        for transform in self.transforms or ():
            x = transform(x)
        return x


class DataLoader:
    """Batches of a data set: iterating gives tuples of Tensors, one for each field of a sample.

    The last batch may be smaller. With `shuffle` every new iteration draws one permutation from numpy's global
    generator. The Tensors live on the default device and require no gradient.
    Raises ValueError for a batch size below 1.
    """

    def __init__(self, dataset: Dataset, batch_size: int | None = 1, shuffle: bool = False) -> None:
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"[DataLoader] batch_size must be at least 1, got {batch_size}")
        self.dataset = dataset
        self.batch_size = len(dataset) if batch_size is None else batch_size
        self.shuffle = shuffle
        self.ordering = self._batches(numpy.arange(len(dataset)))
        self._next = 0

    def __len__(self) -> int:
        return len(self.ordering)

    def __iter__(self) -> DataLoader:
        if self.shuffle:
            self.ordering = self._batches(numpy.random.permutation(len(self.dataset)))
        self._next = 0
        return self

    def __next__(self) -> tuple[Tensor, ...]:
        if self._next >= len(self.ordering):
            raise StopIteration
        fields = self.dataset[self.ordering[self._next]]
        self._next += 1
        if not isinstance(fields, tuple | list):
            fields = (fields,)
        return tuple(Tensor(field, requires_grad=False) for field in fields)

    def _batches(self, order: numpy.ndarray) -> list[numpy.ndarray]:
        if len(order) == 0:
            return []
        return numpy.array_split(order, range(self.batch_size, len(order), self.batch_size))
