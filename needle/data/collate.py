"""From samples to the arrays of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy

from ..errors import DataError


def fetch(dataset: Any, chosen: numpy.ndarray) -> list[Any]:
    """The fields of the samples `chosen` (n,), each stacked: one array of n rows for each field.

    The data set is asked for all of them at once, as the protocol of `Dataset` has it; one that knows single indices
    only is asked for each. Raises DataError, naming the sample, where samples do not stack.
    """
    try:
        fields = dataset[chosen]
    except Exception:  # whatever it was, it says so again for a single index, where that is not the reason
        return _stacked([_sample(dataset, int(index)) for index in chosen], chosen)
    fields = list(fields) if isinstance(fields, tuple | list) else [fields]
    for place, field in enumerate(fields):
        if numpy.ndim(field) == 0 or len(field) != len(chosen):
            rows = "a single value" if numpy.ndim(field) == 0 else f"{len(field)} rows"
            raise DataError(
                f"[DataLoader] the data set was asked for {len(chosen)} samples; its field {place} came as {rows}"
            )
    return fields


def _sample(dataset: Any, index: int) -> Sequence[Any]:
    try:
        sample = dataset[index]
    except Exception as error:
        error.add_note(f"[DataLoader] while reading sample {index}")
        raise
    return sample if isinstance(sample, tuple | list) else (sample,)


def _stacked(samples: list[Sequence[Any]], chosen: numpy.ndarray) -> list[numpy.ndarray]:
    """Field by field, the samples as rows of one array."""
    first, counts = chosen[0], [len(sample) for sample in samples]
    for index, count in zip(chosen, counts, strict=True):
        if count != counts[0]:
            raise DataError(f"[DataLoader] sample {index} has {count} fields, sample {first} has {counts[0]}")
    fields = []
    for place in range(counts[0]):
        rows = [numpy.asarray(sample[place]) for sample in samples]
        for index, row in zip(chosen, rows, strict=True):
            if row.shape != rows[0].shape:
                raise DataError(
                    f"[DataLoader] samples of a batch must have one shape: field {place} of sample {index} is "
                    f"{row.shape}, of sample {first} {rows[0].shape}"
                )
        fields.append(numpy.stack(rows))
    return fields


def check_numbers(fields: list[Any]) -> None:
    """Raise DataError for a field whose elements are not numbers."""
    for place, field in enumerate(fields):
        dtype = getattr(field, "dtype", None)
        if isinstance(dtype, numpy.dtype) and dtype.kind not in "biuf":
            raise DataError(
                f"[DataLoader] field {place} has dtype {dtype}; a Tensor holds numbers: turn labels into class indices"
            )
