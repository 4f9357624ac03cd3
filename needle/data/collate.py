"""From samples to the Tensors of a batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy

from ..autograd import Tensor
from ..backend_ndarray import NDArray
from ..backend_selection import BACKEND
from ..errors import DataError
from .dataset import is_batched

BOUND = "a Tensor holds integers below 2**63"


def fetch(dataset: Any, chosen: numpy.ndarray) -> list[Any]:
    """The fields of the samples `chosen` (n,), each stacked: one array of n rows for each field.

    A data set that is `batched` is asked for all of them at once, any other one for each by itself. Raises DataError,
    naming the sample, where samples do not stack.
    """
    if not is_batched(dataset):
        return _stacked([_sample(dataset, int(index)) for index in chosen], chosen)
    try:
        fields = dataset[chosen]
    except Exception:
        for index in chosen:  # the one that is to blame says so by itself
            _sample(dataset, int(index))
        raise
    fields = list(fields) if isinstance(fields, tuple | list) else [fields]
    for number, field in enumerate(fields):
        if numpy.ndim(field) == 0 or len(field) != len(chosen):
            rows = "a single value" if numpy.ndim(field) == 0 else f"{len(field)} rows"
            raise DataError(
                f"[DataLoader] the data set was asked for {len(chosen)} samples; its field {number} came as {rows}"
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
    return [stack([sample[number] for sample in samples], chosen, number) for number in range(counts[0])]


def stack(field: Iterable[Any], chosen: numpy.ndarray, number: int) -> numpy.ndarray:
    """Field number `number` of the samples `chosen` as the rows of one array. Raises DataError for unequal shapes."""
    rows = [numpy.asarray(value) for value in field]
    for index, row in zip(chosen, rows, strict=True):
        if row.shape != rows[0].shape:
            raise DataError(
                f"[DataLoader] samples of a batch must have one shape: field {number} of sample {index} is "
                f"{row.shape}, of sample {chosen[0]} {rows[0].shape}"
            )
    stacked = numpy.stack(rows)
    if stacked.dtype.kind == "f" and all(row.dtype.kind in "iu" for row in rows):  # int64 and uint64 meet in float64
        raise DataError(f"[DataLoader] field {number} holds {max(map(numpy.max, rows))}; {BOUND}")
    return stacked


def as_tensor(number: int, field: Any, device: Any) -> Tensor:
    """Field number `number` of a batch as a constant Tensor on `device`, in its `tensor_dtype`.

    What is a Tensor or NDArray already keeps its own. Raises DataError for what are no numbers, and for whole numbers
    that int64 does not hold.
    """
    if isinstance(field, Tensor | NDArray):
        return Tensor(field, device=device, requires_grad=False)
    values = numpy.asarray(field)
    if values.dtype.kind not in "biuf":
        raise DataError(
            f"[DataLoader] field {number} has dtype {values.dtype}; a Tensor holds numbers: turn labels into class "
            "indices"
        )
    dtype = tensor_dtype(values.dtype)
    if dtype == "int64" and values.dtype.kind == "u" and values.max(initial=0) >= 2**63:
        raise DataError(f"[DataLoader] field {number} holds {values.max()}; {BOUND}")
    return Tensor(values, device=device, dtype=dtype, requires_grad=False)


def tensor_dtype(dtype: numpy.dtype) -> str:
    """In which dtype the numbers of a data set reach a model: whole numbers stay whole, and none of them changes.

    bool stays bool; integers become int32, or int64 where int32 does not hold all of their type; floats become float32.
    In numpy mode every dtype stays as it is.
    """
    if BACKEND == "np":
        return str(dtype)
    if dtype.kind in "biu":
        return "bool" if dtype.kind == "b" else "int32" if numpy.can_cast(dtype, "int32") else "int64"
    return "float32"
