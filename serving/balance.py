"""Which worker takes a new connection: one that has few.

All of them listen on one socket, and whoever wakes first would take it: of 16 clients, 15 have been seen to sit at one
of two workers.
"""

import math
import mmap

import numpy as np

PASSES = 40  # times that a worker leaves a connection to others before it takes it itself
PAUSE = 0.0005  # seconds between two of them


class Connections:
    """How many connections each worker has, in memory that all of them share; infinitely many where there is none."""

    def __init__(self, columns: int):
        self.open = np.frombuffer(mmap.mmap(-1, 8 * (columns + 1)), np.float64)
        self.open[:] = math.inf

    def note(self, column: int, count: float) -> None:
        """Tell the others how many the worker of this column has."""
        self.open[column] = count

    def leave(self, column: int) -> None:
        """There is no worker in this column any more, or it takes no connections."""
        self.open[column] = math.inf

    def is_for_another(self, count: int) -> bool:
        """Whether a worker that has `count` of them should leave the next one to one that has fewer."""
        return bool(self.open.min() < count)
