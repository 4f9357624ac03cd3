"""Numbers that several processes count together: one shared memory map, a column for each worker, read as one.

A worker only ever writes its own column, so that processes need no lock between them. When a worker is gone its column
is added to a base column and handed to the next. Flags (is this model wanted?) live in the base column and are shared.
"""

import mmap
import threading
from collections.abc import Hashable, Iterable

import numpy as np

BASE = 0


class Counters:
    """Counters by key. Create it before the workers are forked; give each worker a column of its own (1, 2, ...)."""

    def __init__(
        self,
        keys: Iterable[Hashable],
        columns: int = 1,
        levels: Iterable[Hashable] = (),
        flags: Iterable[Hashable] = (),
    ):
        """`keys` only grow; `levels` go up and down and leave with their worker; `flags` are one value for all."""
        levels, flags = set(levels), list(flags)
        self.slots = {key: slot for slot, key in enumerate([*keys, *levels, *flags])}
        self.grows = np.array([key not in levels for key in self.slots])
        memory = mmap.mmap(-1, 8 * (columns + 1) * len(self.slots))
        self.table = np.frombuffer(memory, np.float64).reshape(columns + 1, len(self.slots))
        self.columns, self.column = columns, 1
        self.lock = threading.Lock()

    def add(self, key: Hashable, amount: float = 1) -> None:
        with self.lock:
            self.table[self.column, self.slots[key]] += amount

    def add_all(self, amounts: Iterable[tuple[Hashable, float]]) -> None:
        with self.lock:
            for key, amount in amounts:
                self.table[self.column, self.slots[key]] += amount

    def total(self, key: Hashable) -> float:
        return float(self.table[:, self.slots[key]].sum())

    def set_flag(self, key: Hashable, value: float) -> None:
        self.table[BASE, self.slots[key]] = value

    def raise_flag(self, key: Hashable, value: float) -> None:
        """Let the flag be `value` if that is more; of two workers' close values the smaller may win."""
        self.table[BASE, self.slots[key]] = max(value, self.table[BASE, self.slots[key]])

    def flag(self, key: Hashable) -> float:
        return float(self.table[BASE, self.slots[key]])

    def fold(self, column: int) -> None:
        """Keep what the worker of this column has counted, now that it is gone, and free the column."""
        self.table[BASE] += self.table[column] * self.grows
        self.table[column] = 0
