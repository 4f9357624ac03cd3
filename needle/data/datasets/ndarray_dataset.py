"""A data set of arrays in memory."""

from __future__ import annotations

from typing import Any

from ...errors import DataError
from ..data_basic import Dataset


class NDArrayDataset(Dataset):
    """Sample i is (arrays[0][i], arrays[1][i], ...). Raises DataError if the arrays differ in length."""

    def __init__(self, *arrays: Any) -> None:
        super().__init__()
        if not arrays or len({len(array) for array in arrays}) != 1:
            raise DataError(f"[NDArrayDataset] needs arrays of one length, got {[len(array) for array in arrays]}")
        self.arrays = arrays

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple(array[index] for array in self.arrays)
