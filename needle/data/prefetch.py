"""The batches of one epoch: how each is made, and workers that make them ahead of time.

Workers are threads. What takes time in a batch (the compiled pass over the pixels, Pillow, numpy) runs without Python's
lock, so threads run beside the training step, and nothing has to be sent anywhere: no copies, no pickles, no processes
that can die or be left behind. Work in pure Python, on the other hand, shares the interpreter with the step.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

import numpy

from ..autograd import Tensor
from .collate import as_tensor, fetch
from .datasets import NDArrayDataset
from .transforms import Compose


class Batches:
    """The batches of an epoch by position, each a function of what is given here and of nothing else."""

    def __init__(
        self, dataset: Any, ordering: list[numpy.ndarray], augment: Compose | None, seed: int | None, epoch: int,
        device: Any,
    ) -> None:  # fmt: skip
        self.dataset, self.ordering, self.augment, self.epoch, self.device = dataset, ordering, augment, epoch, device
        self.seed = seed or 0
        self.fused = None
        if augment is not None and type(dataset) is NDArrayDataset:  # no need to copy images before they are augmented
            self.fused = augment.fused(dataset.arrays[0])

    def make(self, position: int) -> tuple[Tensor, ...]:
        """The Tensors of one batch. What the data set raises gets a note with the batch."""
        try:
            fields = self._fields(self.ordering[position])
            return tuple(as_tensor(number, field, self.device) for number, field in enumerate(fields))
        except Exception as error:
            error.add_note(f"[DataLoader] in batch {position} of epoch {self.epoch}")
            if isinstance(error, StopIteration):  # which would pass for the end of the epoch
                raise RuntimeError("[DataLoader] the data set raised StopIteration") from error
            raise

    def _fields(self, chosen: numpy.ndarray) -> list[Any]:
        """The fields of the samples `chosen` (n,), the first one augmented."""
        if self.augment is None:
            return fetch(self.dataset, chosen)
        u = self.augment.drawn(self.seed, self.epoch, chosen)
        if self.fused is not None:
            rest = [self.dataset.field(number, chosen) for number in range(1, len(self.dataset.arrays))]
            return [self.fused(self.dataset.arrays[0], chosen, u), *rest]
        images, *others = fetch(self.dataset, chosen)
        return [self.augment(images, u), *others]


class Prefetcher:
    """What `Batches.make` makes, for positions asked for in order, by `workers` threads that are `prefetch` ahead each.

    They begin with the first position that is asked for, and anew after an error or in a forked process.
    """

    def __init__(self, batches: Batches, workers: int, prefetch: int) -> None:
        self.batches, self.workers, self.prefetch = batches, workers, prefetch
        self._running: WorkerPool | None = None

    def make(self, position: int) -> tuple[Tensor, ...]:
        """The Tensors of one batch."""
        running, self._running = self._running, None
        if running is None or running.process != os.getpid():
            positions = range(position, len(self.batches.ordering))
            running = WorkerPool(self.batches, positions, self.workers, self.prefetch)
        batch = running.next()
        self._running = running  # unless that raised: then the next call starts afresh
        return batch


class WorkerPool:
    """The batches at `positions`, in order, made by `workers` threads that are at most `ahead` batches ahead each.

    The threads end with this object, or with the program, after the batch that they are at.
    """

    def __init__(self, batches: Batches, positions: Iterable[int], workers: int, ahead: int) -> None:
        self.process = os.getpid()  # a forked child has the object, but not the threads
        self._positions = iter(positions)
        self._workers = [_Worker(batches, number) for number in range(workers)]
        self._next = 0  # the worker that has the next batch
        weakref.finalize(self, _end, self._workers)
        for k in range(workers * ahead):
            self._request(self._workers[k % workers])

    def next(self) -> tuple[Tensor, ...]:
        """The next batch, waited for if need be; what went wrong in making it is raised here."""
        worker = self._workers[self._next]
        self._next = (self._next + 1) % len(self._workers)
        batch = worker.batches.get()
        self._request(worker)
        if isinstance(batch, BaseException):
            try:
                raise batch
            finally:
                del batch  # or its traceback would hold it, and it its traceback
        return batch

    def _request(self, worker: _Worker) -> None:
        position = next(self._positions, None)
        if position is not None:
            worker.requests.put(position)


class _Worker:
    """A thread that makes the batches whose positions are put into `requests`, until it finds None there."""

    def __init__(self, batches: Batches, number: int) -> None:
        self.requests: SimpleQueue[int | None] = SimpleQueue()
        self.batches: SimpleQueue[tuple[Tensor, ...] | BaseException] = SimpleQueue()
        work = (batches, self.requests, self.batches)
        self.thread = threading.Thread(target=_work, args=work, name=f"needle-loader-{number}", daemon=True)
        self.thread.start()


def _work(batches: Batches, requests: SimpleQueue[int | None], made: SimpleQueue[Any]) -> None:
    while (position := requests.get()) is not None:
        try:
            made.put(batches.make(position))
        except BaseException as error:  # whatever it is, it belongs to whoever waits for the batch
            made.put(error)


def _end(workers: list[_Worker]) -> None:
    """Take back what the workers have not begun, and wait for the rest."""
    for worker in workers:
        with suppress(Empty):
            while True:
                worker.requests.get_nowait()
        worker.requests.put(None)
    for worker in workers:
        if worker.thread is not threading.current_thread():  # which may be the one that collects the garbage
            worker.thread.join()
