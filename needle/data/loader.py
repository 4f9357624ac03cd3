"""The loader: a data set in batches, shuffled, augmented and prepared ahead of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy

from .. import reprs
from ..errors import DataError, SettingError
from ..keyed_random import keyed_order
from ..types import INTEGERS
from .dataset import Dataset
from .epochs import EpochIterator, Loader
from .prefetch import Batches, Prefetcher
from .transforms import Compose, Transform
from .transforms.per_image import RandomCrop, RandomFlipHorizontal


class DataLoader(Loader):
    """Batches of a data set: iterating gives tuples of Tensors, one for each field of a sample.

    The last batch may be smaller, unless `drop_last` leaves it out; `batch_size` None is the whole data set. The
    Tensors live on `device` (None: the default one) and require no gradient.

    Every `iter(loader)` begins a pass of its own over the next epoch, unless `set_epoch` or `load_state_dict` say
    otherwise, and draws its order at once; passes at the same time do not disturb each other. `next(loader)`,
    `state_dict`, `epoch`, `position` and `ordering` are about the newest.

    Without `seed`, every pass with `shuffle` draws one permutation from numpy's global generator. With it, the order is
    a function of (seed, epoch), and what `augment` (a transform of `needle.data.transforms`, or a sequence of them, for
    the first field) does to a sample is a function of (seed, epoch, sample).

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
        for name, value in (("batch_size", batch_size), ("seed", seed)):
            if value is not None and not isinstance(value, INTEGERS):
                raise SettingError(f"[DataLoader] {name} must be a whole number or None, got {value!r:.50}")
        if batch_size is not None and not 1 <= batch_size < 2**63:
            raise SettingError(f"[DataLoader] batch_size must be at least 1, got {batch_size}")
        whole = isinstance(workers, INTEGERS) and isinstance(prefetch, INTEGERS)
        if not whole or workers < 0 or not 1 <= prefetch < 2**16:
            raise SettingError(f"[DataLoader] needs workers >= 0 and prefetch >= 1, got {workers!r} and {prefetch!r}")
        if not all(isinstance(flag, int | numpy.bool_) for flag in (shuffle, drop_last)):
            raise SettingError(f"[DataLoader] shuffle and drop_last are True or False, got {shuffle!r}, {drop_last!r}")
        self.dataset, self.device, self.shuffle, self.drop_last = dataset, device, bool(shuffle), bool(drop_last)
        self.seed = None if seed is None else int(seed)
        self.batch_size = len(dataset) if batch_size is None else int(batch_size)
        transforms = (augment,) if isinstance(augment, Transform) else augment
        self.augment = None if transforms is None else Compose(*transforms)
        if seed is None and self.augment is not None and self.augment.draws:
            raise SettingError(
                "[DataLoader] a random augment needs a seed: its numbers are keyed by (seed, epoch, sample)"
            )
        if workers:
            _refuse_shared_draws(dataset)
        self.workers, self.prefetch = int(workers), int(prefetch)
        self.ordering = self._split(numpy.arange(len(dataset)))  # of the newest pass

    def __repr__(self) -> str:
        return loader_text(self)

    def __len__(self) -> int:
        return len(self.ordering)

    def _begin(self, epoch: int, position: int) -> EpochIterator:
        goes_on = self.seed is None and position > 0  # a copy of a loader within an epoch, whose order was drawn
        if self.shuffle and not goes_on:
            self.ordering = self._split(self._permutation(epoch))
        batches = Batches(self.dataset, self.ordering, self.augment, self.seed, epoch, self.device)
        make = Prefetcher(batches, self.workers, self.prefetch).make if self.workers else batches.make
        return EpochIterator(epoch, position, len(self.ordering), make)

    def state_dict(self) -> dict[str, Any]:
        """Where the next batch of the newest pass is, {"epoch", "position"}, and the settings its content depends on.

        Raises DataError in the middle of an epoch whose order was drawn from numpy's generator: it needs a `seed`.
        """
        if self.seed is None and self.shuffle and self.position:
            raise DataError("[DataLoader.state_dict] an order that can be resumed in mid-epoch needs a seed")
        return super().state_dict() | self._settings()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next pass give the batches that were left when `state` was taken.

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
        super().load_state_dict(state)

    def _settings(self) -> dict[str, Any]:
        settings = {name: getattr(self, name) for name in ("batch_size", "shuffle", "seed", "drop_last")}
        return settings | {"samples": len(self.dataset), "augment": repr(self.augment)}

    def _permutation(self, epoch: int) -> numpy.ndarray:
        if self.seed is None:
            return numpy.random.permutation(len(self.dataset))
        return keyed_order(self.seed, epoch, len(self.dataset))

    def _split(self, order: numpy.ndarray) -> list[numpy.ndarray]:
        if len(order) == 0:
            return []
        batches = numpy.array_split(order, range(self.batch_size, len(order), self.batch_size))
        return batches[:-1] if self.drop_last and len(batches[-1]) < self.batch_size else batches


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
