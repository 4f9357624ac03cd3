"""The batches of one epoch: how each is made, and workers that make them ahead of time.

Workers are threads. What takes time in a batch (the compiled pass over the pixels, Pillow, numpy) runs without Python's
lock, so threads run beside the training step, and nothing has to be sent anywhere: no copies, no pickles, no processes
that can die or be left behind. Work in pure Python, on the other hand, shares the interpreter with the step.
"""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy

from ..autograd import Tensor
from .collate import check_numbers, fetch
from .keyed import keyed_uniform
from .transforms import Compose


class Batches(NamedTuple):
    """The batches of an epoch by their place, each a function of what stands here and of nothing else."""

    dataset: Any
    ordering: list[numpy.ndarray]  # the samples of each batch
    augment: Compose | None
    seed: int | None
    epoch: int
    device: Any

    def make(self, place: int) -> tuple[Tensor, ...]:
        """The Tensors of one batch. What the data set raises gets a note with the batch."""
        chosen = self.ordering[place]
        try:
            fields = fetch(self.dataset, chosen)
            if self.augment is not None:
                u = keyed_uniform(self.seed or 0, self.epoch, chosen, self.augment.draws)
                fields[0] = self.augment(fields[0], u)
            check_numbers(fields)
            return tuple(Tensor(field, device=self.device, requires_grad=False) for field in fields)
        except Exception as error:
            error.add_note(f"[DataLoader] in batch {place} of epoch {self.epoch}")
            if isinstance(error, StopIteration):  # which would pass for the end of the epoch
                raise RuntimeError("[DataLoader] the data set raised StopIteration") from error
            raise


class Prefetch:
    """The batches at `places`, in order, made by `workers` threads that are at most `depth` batches ahead.

    The threads end with this object, after the batch that they are at.
    """

    def __init__(self, batches: Batches, places: Iterable[int], workers: int, depth: int) -> None:
        self.process = os.getpid()  # a forked child has the object, but not the threads
        self._batches, self._places = batches, iter(places)
        self._pending: deque[Future[tuple[Tensor, ...]]] = deque()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="needle-loader")
        weakref.finalize(self, self._pool.shutdown, wait=False, cancel_futures=True)
        for _ in range(depth):
            self._submit()

    def next(self) -> tuple[Tensor, ...]:
        """The next batch, waited for if need be; what went wrong in making it is raised here."""
        self._submit()
        return self._pending.popleft().result()

    def _submit(self) -> None:
        place = next(self._places, None)
        if place is not None:
            self._pending.append(self._pool.submit(self._batches.make, place))
