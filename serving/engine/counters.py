"""Numbers that several processes count together: one shared memory map, a column for each worker, read as one.

A worker only ever writes its own column, so that processes need no lock between them. When a worker is gone its column
is added to a base column and handed to the next. What is counted has a place, a number below `capacity`: models come
and go while the server runs, and the memory of a place that nobody has used costs nothing.
"""

import mmap
import threading
from collections.abc import Hashable, Iterable

import numpy as np

BASE = 0


class Counters:
    """Counters by (place, key). Create it before the workers are forked; give each a column of its own (1, 2, ...)."""

    def __init__(
        self,
        keys: Iterable[Hashable],
        columns: int = 1,
        capacity: int = 1,
        levels: Iterable[Hashable] = (),
        flags: Iterable[Hashable] = (),
    ):
        """`keys` only grow; `levels` go up and down and leave with their worker; `flags` are one value for all."""
        levels, flags = set(levels), list(flags)
        self.slots = {key: slot for slot, key in enumerate([*keys, *levels, *flags])}
        self.grows = np.array([key not in levels for key in self.slots])
        memory = mmap.mmap(-1, 8 * (columns + 1) * capacity * len(self.slots))
        self.table = np.frombuffer(memory, np.float64).reshape(columns + 1, capacity, len(self.slots))
        self.columns, self.capacity, self.column = columns, capacity, 1
        self.used = np.frombuffer(mmap.mmap(-1, capacity), np.bool_)  # places that were counted in
        self.lock = threading.Lock()

    def add(self, place: int, key: Hashable, amount: float = 1) -> None:
        self.add_all(place, [(key, amount)])

    def add_all(self, place: int, amounts: Iterable[tuple[Hashable, float]]) -> None:
        with self.lock:
            self.used[place] = True
            for key, amount in amounts:
                self.table[self.column, place, self.slots[key]] += amount

    def total(self, place: int, key: Hashable) -> float:
        return float(self.table[:, place, self.slots[key]].sum())

    def raise_flag(self, place: int, key: Hashable, value: float) -> None:
        """Let the flag be `value` if that is more; of two workers' close values the smaller may win."""
        self.used[place] = True
        self.table[BASE, place, self.slots[key]] = max(value, self.flag(place, key))

    def flag(self, place: int, key: Hashable) -> float:
        return float(self.table[BASE, place, self.slots[key]])

    def clear(self, place: int) -> None:
        """Forget what was counted at a place, before something else takes it."""
        if self.used[place]:
            self.table[:, place] = 0

    def fold(self, column: int) -> None:
        """Keep what the worker of this column has counted, now that it is gone, and free the column."""
        for place in np.flatnonzero(self.used):
            self.table[BASE, place] += self.table[column, place] * self.grows
            self.table[column, place] = 0
