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
    """The batches of an epoch by their place, each a function of what is given here and of nothing else."""

    def __init__(
        self, dataset: Any, ordering: list[numpy.ndarray], augment: Compose | None, seed: int | None, epoch: int,
        device: Any,
    ) -> None:  # fmt: skip
        self.dataset, self.ordering, self.augment, self.epoch, self.device = dataset, ordering, augment, epoch, device
        self.seed = seed or 0
        self.one_pass = None
        if augment is not None and type(dataset) is NDArrayDataset:  # no need to copy images before they are augmented
            self.one_pass = augment.one_pass(dataset.arrays[0])

    def make(self, place: int) -> tuple[Tensor, ...]:
        """The Tensors of one batch. What the data set raises gets a note with the batch."""
        try:
            fields = self._fields(self.ordering[place])
            return tuple(as_tensor(number, field, self.device) for number, field in enumerate(fields))
        except Exception as error:
            error.add_note(f"[DataLoader] in batch {place} of epoch {self.epoch}")
            if isinstance(error, StopIteration):  # which would pass for the end of the epoch
                raise RuntimeError("[DataLoader] the data set raised StopIteration") from error
            raise

    def _fields(self, chosen: numpy.ndarray) -> list[Any]:
        """The fields of the samples `chosen` (n,), the first one augmented."""
        if self.augment is None:
            return fetch(self.dataset, chosen)
        u = self.augment.drawn(self.seed, self.epoch, chosen)
        if self.one_pass is not None:
            rest = [self.dataset.field(place, chosen) for place in range(1, len(self.dataset.arrays))]
            return [self.one_pass(self.dataset.arrays[0], chosen, u), *rest]
        images, *others = fetch(self.dataset, chosen)
        return [self.augment(images, u), *others]


class Ahead:
    """What `Batches.make` makes, for places asked for in order, by `workers` threads that are `prefetch` ahead each.

    They begin with the first place that is asked for, and anew after an error or in a forked process.
    """

    def __init__(self, batches: Batches, workers: int, prefetch: int) -> None:
        self.batches, self.workers, self.prefetch = batches, workers, prefetch
        self._running: Prefetch | None = None

    def make(self, place: int) -> tuple[Tensor, ...]:
        """The Tensors of one batch."""
        running, self._running = self._running, None
        if running is None or running.process != os.getpid():
            places = range(place, len(self.batches.ordering))
            running = Prefetch(self.batches, places, self.workers, self.prefetch)
        batch = running.next()
        self._running = running  # unless that raised: then the next call starts afresh
        return batch


class Prefetch:
    """The batches at `places`, in order, made by `workers` threads that are at most `ahead` batches ahead each.

    The threads end with this object, or with the program, after the batch that they are at.
    """

    def __init__(self, batches: Batches, places: Iterable[int], workers: int, ahead: int) -> None:
        self.process = os.getpid()  # a forked child has the object, but not the threads
        self._places = iter(places)
        self._workers = [_Worker(batches, number) for number in range(workers)]
        self._turn = 0  # of the worker that has the next batch
        weakref.finalize(self, _end, self._workers)
        for k in range(workers * ahead):
            self._order(self._workers[k % workers])

    def next(self) -> tuple[Tensor, ...]:
        """The next batch, waited for if need be; what went wrong in making it is raised here."""
        worker = self._workers[self._turn]
        self._turn = (self._turn + 1) % len(self._workers)
        batch = worker.batches.get()
        self._order(worker)
        if isinstance(batch, BaseException):
            try:
                raise batch
            finally:
                del batch  # or its traceback would hold it, and it its traceback
        return batch

    def _order(self, worker: _Worker) -> None:
        place = next(self._places, None)
        if place is not None:
            worker.orders.put(place)


class _Worker:
    """A thread that makes the batches whose places are put into `orders`, until it finds None there."""

    def __init__(self, batches: Batches, number: int) -> None:
        self.orders: SimpleQueue[int | None] = SimpleQueue()
        self.batches: SimpleQueue[tuple[Tensor, ...] | BaseException] = SimpleQueue()
        work = (batches, self.orders, self.batches)
        self.thread = threading.Thread(target=_work, args=work, name=f"needle-loader-{number}", daemon=True)
        self.thread.start()


def _work(batches: Batches, orders: SimpleQueue[int | None], made: SimpleQueue[Any]) -> None:
    while (place := orders.get()) is not None:
        try:
            made.put(batches.make(place))
        except BaseException as error:  # whatever it is, it belongs to whoever waits for the batch
            made.put(error)


def _end(workers: list[_Worker]) -> None:
    """Take back what the workers have not begun, and wait for the rest."""
    for worker in workers:
        with suppress(Empty):
            while True:
                worker.orders.get_nowait()
        worker.orders.put(None)
    for worker in workers:
        if worker.thread is not threading.current_thread():  # which may be the one that collects the garbage
            worker.thread.join()
