"""Iterating over a loader: each iterator has a position of its own, and the loader reports that of the newest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..errors import DataError

Batch = tuple[Any, ...]


class EpochIterator(Iterator[Batch]):
    """The batches `position` to `count` - 1 of an epoch, each made by `make(position)`.

    What goes wrong in making one is raised, and the next call tries the same one again.
    """

    def __init__(self, epoch: int, position: int, count: int, make: Callable[[int], Batch]) -> None:
        self.epoch, self.position, self.count = epoch, position, count
        self.ended = False
        self._make: Callable[[int], Batch] | None = make

    def __next__(self) -> Batch:
        if self._make is None or self.position >= self.count:
            self.ended, self._make = True, None  # with it go the workers, if it has any
            raise StopIteration
        batch = self._make(self.position)
        self.position += 1
        return batch


class Loader:
    """What loaders share: every `iter` begins a pass of its own over the next epoch; subclasses write `_begin`.

    `next(loader)` goes on with the newest pass, and begins one where there is none. Passes at the same time do not
    disturb each other.
    """

    _next: tuple[int, int] = (0, 0)  # epoch and position at which the next pass begins
    _newest: EpochIterator | None = None  # None: no pass has begun since that was set

    def _begin(self, epoch: int, position: int) -> EpochIterator:
        """A pass over an epoch from a position on, with its order drawn."""
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles take along: the position in the epoch, from which they begin a pass of their own."""
        return vars(self) | {"_newest": None, "_next": (self.epoch, self.position)}

    def __iter__(self) -> EpochIterator:
        epoch, position = self._next
        begun = self._begin(epoch, position)
        self._newest, self._next = begun, (epoch + 1, 0)
        return begun

    def __next__(self) -> Batch:
        return next(self._newest or iter(self))

    @property
    def epoch(self) -> int:
        """The epoch of the next batch."""
        return self._next[0] if self._newest is None or self._newest.ended else self._newest.epoch

    @property
    def position(self) -> int:
        """The position of the next batch in its epoch."""
        return self._next[1] if self._newest is None or self._newest.ended else self._newest.position

    def set_epoch(self, epoch: int) -> None:
        """Let the next pass be of this epoch: from its start, or from where `load_state_dict` has put it."""
        self._newest = None
        if epoch != self._next[0]:
            self._next = epoch, 0

    def state_dict(self) -> dict[str, Any]:
        """Where the next batch of the newest pass is, {"epoch", "position"}."""
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next pass give the batches that were left when `state` was taken.

        Raises DataError where this loader has no such batch.
        """
        epoch, position, count = state["epoch"], state["position"], len(self)
        if not (epoch >= 0 and 0 <= position <= count):
            raise DataError(f"[{type(self).__name__}.load_state_dict] batch {position} of {count} does not exist")
        self._newest, self._next = None, (int(epoch), int(position))

    def __len__(self) -> int:
        raise NotImplementedError
