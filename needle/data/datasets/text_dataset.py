"""Long sequences of ids in batches for language models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy

from ... import reprs
from ...autograd import Tensor
from ...errors import DataError
from ..collate import tensor_dtype
from ..dataset import Dataset, batched
from .ptb_dataset import batchify, get_batch


class TextDataset(Dataset):
    """Sample i is (ids[s : s + context], ids[s + 1 : s + context + 1]), s = i stride: a window, and what follows.

    ids (n,) whole numbers; `stride` None: windows side by side. Raises DataError where not even one window fits.
    """

    def __init__(self, ids: Any, context: int, stride: int | None = None) -> None:
        super().__init__()
        self.ids = numpy.asarray(ids)
        self.context, self.stride = context, context if stride is None else stride
        if self.ids.ndim != 1 or context < 1 or self.stride < 1 or len(self.ids) <= context:
            raise DataError(
                f"[TextDataset] needs ids (n,) with n > context >= 1 and stride >= 1, got shape {self.ids.shape}, "
                f"context {context}, stride {self.stride}"
            )

    def _counts(self) -> list[str]:
        return [*super()._counts(), reprs.count(len(getattr(self, "ids", ())), "id")]

    def __len__(self) -> int:
        return (len(self.ids) - self.context - 1) // self.stride + 1

    @batched
    def __getitem__(self, index: Any) -> tuple[numpy.ndarray, numpy.ndarray]:
        starts = numpy.arange(len(self))[index] * self.stride
        at = starts[..., None] + numpy.arange(self.context)
        return self.ids[at], self.ids[at + 1]


class TextColumns:
    """Batches (ids (T, batch), what follows them as one list (T batch,)) of `batch` columns of contiguous text.

    Row by row from the start of each column to its end, at most `steps` rows at a time, always in this order: for
    recurrent networks whose state is carried from batch to batch. Ids that are integers stay integers. Raises DataError
    for text too short to be cut.
    """

    def __init__(self, ids: Any, batch: int, steps: int, device: Any = None) -> None:
        if batch < 1 or steps < 1 or len(ids) < 2 * batch:
            raise DataError(
                f"[TextColumns] needs at least two ids for each column, batch >= 1 and steps >= 1; got {len(ids)} ids, "
                f"batch {batch}, steps {steps}"
            )
        self.columns, self.steps, self.device = batchify(numpy.asarray(ids), batch), steps, device

    def __repr__(self) -> str:
        shape = getattr(self, "columns", numpy.empty((0, 0))).shape
        batches = reprs.count(reprs.length(self) or 0, "batch", "batches")
        columns = f"{reprs.count(shape[1], 'column')} of {reprs.count(shape[0], 'id')}"
        return reprs.call(self, [batches, columns, *reprs.settings(self)])

    def __len__(self) -> int:
        return -(-(len(self.columns) - 1) // self.steps)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for first in range(0, len(self.columns) - 1, self.steps):
            yield get_batch(self.columns, first, self.steps, self.device, tensor_dtype(self.columns.dtype))
