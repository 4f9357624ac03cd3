"""A queue in which owners take turns: however much one has put in, the others wait for no more than one of its items.
"""

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

SHARE = 0.75  # the part of a limit that one owner may take, where owners are told apart


def share(limit: int, owner: str) -> int:
    """How many of `limit` one owner may have at once; all of them where nobody has a name."""
    return max(1, int(limit * SHARE)) if owner else limit


class FairQueue(Generic[T]):
    """Items of owners, each in order of arrival; `first` and `pop` go from owner to owner. Not locked."""

    def __init__(self) -> None:
        self._lanes: dict[str, deque[T]] = {}  # the owner whose turn it is first
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[T]:
        """All items, one owner after the other."""
        for lane in self._lanes.values():
            yield from lane

    def push(self, owner: str, item: T) -> None:
        self._lanes.setdefault(owner, deque()).append(item)
        self._size += 1

    def first(self) -> T | None:
        """The item whose turn it is; None if there is none."""
        return next(iter(self._lanes.values()))[0] if self._lanes else None

    def pop(self) -> T:
        """Take the item whose turn it is; the turn goes to the next owner. Raises IndexError if there is none."""
        if not self._lanes:
            raise IndexError("[FairQueue] there is nothing to take")
        owner = next(iter(self._lanes))
        lane = self._lanes.pop(owner)
        item = lane.popleft()
        self._size -= 1
        if lane:
            self._lanes[owner] = lane  # behind all others
        return item

    def skip(self) -> None:
        """Let the next owner have the turn."""
        if self._lanes:
            owner = next(iter(self._lanes))
            self._lanes[owner] = self._lanes.pop(owner)

    def owners(self) -> int:
        """How many of them have something in the queue."""
        return len(self._lanes)

    def clear(self) -> None:
        self._lanes.clear()
        self._size = 0
