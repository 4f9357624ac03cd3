"""A data set of arrays in memory."""

from __future__ import annotations

from typing import Any

import numpy

from ...errors import DataError
from ..collate import stack
from ..dataset import Dataset, batched


class NDArrayDataset(Dataset):
    """Sample i is (arrays[0][i], arrays[1][i], ...). Raises DataError if the arrays differ in length.

    They may be lists, or anything else with a length and elements; those are read one by one.
    """

    def __init__(self, *arrays: Any) -> None:
        super().__init__()
        if not arrays or len({len(array) for array in arrays}) != 1:
            raise DataError(f"[NDArrayDataset] needs arrays of one length, got {[len(array) for array in arrays]}")
        self.arrays = arrays

    def __len__(self) -> int:
        return len(self.arrays[0])

    @batched
    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple(self.field(number, index) for number in range(len(self.arrays)))

    def field(self, number: int, index: Any) -> Any:
        """arrays[number][index]; several elements (n,) of what is no numpy array are read one by one, and stacked."""
        array = self.arrays[number]
        if numpy.ndim(index) == 0 or isinstance(array, numpy.ndarray):  # (a slice has no axes either)
            return array[index]
        return stack((array[int(i)] for i in index), index, number)
