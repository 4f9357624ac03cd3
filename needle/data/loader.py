"""The loader: a data set in batches, shuffled, augmented and prepared ahead of time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy

from .. import reprs
from ..autograd import Tensor
from ..errors import DataError, SettingError
from ..types import INTEGERS
from .data_basic import Dataset
from .data_transforms import RandomCrop, RandomFlipHorizontal
from .keyed import keyed_order
from .prefetch import Batches, Prefetch
from .transforms import Compose, Transform


class DataLoader:
    """Batches of a data set: iterating gives tuples of Tensors, one for each field of a sample.

    The last batch may be smaller, unless `drop_last` leaves it out; `batch_size` None is the whole data set. The
    Tensors live on `device` (None: the default one) and require no gradient.

    Without `seed`, every new iteration with `shuffle` draws one permutation from numpy's global generator. With it,
    the order is a function of (seed, epoch), and what `augment` (a transform of `needle.data.transforms`, or a sequence
    of them, for the first field) does to a sample is a function of (seed, epoch, sample). Every new iteration is the
    next epoch, unless `set_epoch` or `load_state_dict` say otherwise.

    `workers` threads prepare batches beside the training step, `prefetch` of them ahead each; the batches are the same
    for any number of workers. What goes wrong in one is raised where its batch would have come. See `prefetch.py` for
    what they can speed up.

    Raises SettingError for settings that make no sense, and DataError for samples that make no batch.
    """

    def __init__(
        self, dataset: Any, batch_size: int | None = 1, shuffle: bool = False, *, seed: int | None = None,
        workers: int = 0, prefetch: int = 2, drop_last: bool = False,
        augment: Transform | Sequence[Transform] | None = None, device: Any = None,
    ) -> None:  # fmt: skip
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise DataError(f"[DataLoader] dataset needs __len__ and __getitem__, got {type(dataset).__name__}")
        if batch_size is not None and not 1 <= batch_size < 2**63:
            raise SettingError(f"[DataLoader] batch_size must be at least 1, got {batch_size}")
        whole = isinstance(workers, INTEGERS) and isinstance(prefetch, INTEGERS)
        if not whole or workers < 0 or not 1 <= prefetch < 2**16:
            raise SettingError(f"[DataLoader] needs workers >= 0 and prefetch >= 1, got {workers!r} and {prefetch!r}")
        if not all(isinstance(flag, int | numpy.bool_) for flag in (shuffle, drop_last)):
            raise SettingError(f"[DataLoader] shuffle and drop_last are True or False, got {shuffle!r}, {drop_last!r}")
        self.dataset, self.shuffle, self.seed, self.drop_last, self.device = dataset, shuffle, seed, drop_last, device
        self.batch_size = len(dataset) if batch_size is None else int(batch_size)
        transforms = (augment,) if isinstance(augment, Transform) else augment
        self.augment = None if transforms is None else Compose(*transforms)
        if seed is None and self.augment is not None and self.augment.draws:
            raise SettingError(
                "[DataLoader] a random augment needs a seed: its numbers are keyed by (seed, epoch, sample)"
            )
        if workers:
            _refuse_shared_draws(dataset)
        self.workers, self.prefetch = workers, prefetch
        self._batches: Batches | None = None  # of the iteration that goes on
        self._ahead: Prefetch | None = None
        self.epoch = 0  # of the next batch
        self.position = 0  # the next batch's place in its epoch
        self._fresh = True  # no batch since the epoch or the position was set: the next iteration begins here
        self.ordering = self._split(numpy.arange(len(dataset)))

    def __repr__(self) -> str:
        return loader_text(self)

    def __len__(self) -> int:
        return len(self.ordering)

    def __iter__(self) -> DataLoader:
        self._end()
        if not self._fresh:
            self.epoch, self.position, self._fresh = self.epoch + 1, 0, True
        if self.shuffle:
            self.ordering = self._split(self._permutation())
        return self

    def __next__(self) -> tuple[Tensor, ...]:
        if self.position >= len(self.ordering):
            self._end()
            self.epoch, self.position, self._fresh = self.epoch + 1, 0, True
            raise StopIteration
        batch = self._batch()
        self.position, self._fresh = self.position + 1, False
        return batch

    def set_epoch(self, epoch: int) -> None:
        """Let the next iteration be of this epoch: from its start, or from where `load_state_dict` has put it."""
        if not (self._fresh and epoch == self.epoch):
            self._end()
            self.epoch, self.position, self._fresh = epoch, 0, True

    def state_dict(self) -> dict[str, Any]:
        """Where the next batch is, {"epoch", "position"}, and the settings that its content depends on.

        Raises DataError in the middle of an epoch whose order was drawn from numpy's generator: it needs a `seed`.
        """
        if self.seed is None and self.shuffle and self.position:
            raise DataError("[DataLoader.state_dict] an order that can be resumed in mid-epoch needs a seed")
        return {"epoch": self.epoch, "position": self.position, **self._settings()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next iteration give the batches that were left when `state` was taken.

        Raises DataError, naming the difference, for the state of a loader with other settings.
        """
        lacking = {"epoch", "position", *self._settings()} - set(state)
        if lacking:
            raise DataError(f"[DataLoader.load_state_dict] the state lacks {', '.join(sorted(lacking))}")
        for name, ours in self._settings().items():
            if state[name] != ours:
                raise DataError(
                    f"[DataLoader.load_state_dict] the state is of {name} {state[name]}, this loader's is {ours}"
                )
        if not (state["epoch"] >= 0 and 0 <= state["position"] <= len(self)):
            raise DataError(f"[DataLoader.load_state_dict] batch {state['position']} of {len(self)} does not exist")
        self._end()
        self.epoch, self.position, self._fresh = int(state["epoch"]), int(state["position"]), True

    def _settings(self) -> dict[str, Any]:
        settings = {name: getattr(self, name) for name in ("batch_size", "shuffle", "seed", "drop_last")}
        return settings | {"samples": len(self.dataset), "augment": repr(self.augment)}

    def _permutation(self) -> numpy.ndarray:
        if self.seed is None:
            return numpy.random.permutation(len(self.dataset))
        return keyed_order(self.seed, self.epoch, len(self.dataset))

    def _split(self, order: numpy.ndarray) -> list[numpy.ndarray]:
        if len(order) == 0:
            return []
        batches = numpy.array_split(order, range(self.batch_size, len(order), self.batch_size))
        return batches[:-1] if self.drop_last and len(batches[-1]) < self.batch_size else batches

    def _batch(self) -> tuple[Tensor, ...]:
        """The next batch, from the workers where there are any."""
        if self._batches is None:
            settings = self.augment, self.seed, self.epoch, self.device
            self._batches = Batches(self.dataset, self.ordering, *settings)
        if not self.workers:
            return self._batches.make(self.position)
        ahead, self._ahead = self._ahead, None
        if ahead is None or ahead.process != os.getpid():
            ahead = Prefetch(self._batches, range(self.position, len(self)), self.workers, self.prefetch)
        batch = ahead.next()
        self._ahead = ahead  # unless that raised: then the next call starts afresh
        return batch

    def _end(self) -> None:
        """Nothing is left of the iteration that was."""
        self._batches = self._ahead = None


def loader_text(loader: DataLoader) -> str:
    """The loader with its data set, the settings that are not as by default, and how many batches it gives."""
    dataset = getattr(loader, "dataset", None)
    samples = f"{type(dataset).__name__} of {reprs.count(reprs.length(dataset) or 0, 'sample')}"
    shown = [] if dataset is None else [repr(dataset) if isinstance(dataset, Dataset) else samples]
    batches = reprs.length(loader)
    note = "" if batches is None else reprs.count(batches, "batch", "batches")
    settings = [setting for setting in reprs.settings(loader) if not setting.startswith("dataset=")]
    return reprs.call(loader, [*shown, *settings], note)


def _refuse_shared_draws(dataset: Any) -> None:
    """Raise SettingError if samples draw on numpy's global generator, which workers would share with the model."""
    for transform in getattr(dataset, "transforms", None) or ():
        if isinstance(transform, RandomCrop | RandomFlipHorizontal):
            raise SettingError(
                f"[DataLoader] {type(transform).__name__} of the data set draws from numpy's global generator, in an "
                "order that workers would change: use a seed and augment=[...] of needle.data.transforms instead"
            )
