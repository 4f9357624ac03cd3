"""The memory that requests may take at once: they queue for it before they decode, small ones past the large ones."""

import ctypes
import os
import sys
import threading
from contextlib import suppress

from serving.engine.errors import Busy, TooLarge
from serving.engine.fair import FairQueue
from serving.engine.limits import MIB, Limits, raise_with

SMALL = 8 * MIB  # what takes up to this much never waits behind what takes more
SMALL_PART = 8  # one part in so many is for small requests alone: by default, four of the largest of them at once
WAITING = 16  # large requests that may wait; each keeps a thread
PATIENCE = 10.0  # seconds a request waits for memory

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # from glibc's malloc.h


def _malloc(function: str, *arguments: int) -> None:
    """Call a function of glibc's malloc; where the C library is another, nothing happens."""
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):
            getattr(ctypes.CDLL(None), function)(*arguments)


def return_freed_memory() -> None:
    """Make malloc give large blocks back to the system when they are freed.

    By default each thread has an arena of its own, and a block once freed raises the size from which blocks are mapped:
    after a few large images the process would keep the most it ever held, many times.
    """
    _malloc("mallopt", M_MMAP_THRESHOLD, MIB // 4)
    _malloc("mallopt", M_TRIM_THRESHOLD, MIB)
    _malloc("mallopt", M_ARENA_MAX, 2)


def trim() -> None:
    """Give the system what lies free between blocks in use; for after a large request."""
    _malloc("malloc_trim", 0)


class _Ticket:
    """One who waits for `size` bytes; `granted` is locked until they are there."""

    def __init__(self, size: int):
        self.size, self.has_left = size, False
        self.granted = threading.Lock()
        self.granted.acquire()


class WeightedSemaphore:
    """`capacity` bytes for at most `parallel` requests at once, in order of arrival, owner after owner.

    At most `waiting` may wait.
    """

    def __init__(self, capacity: int, parallel: int, waiting: int):
        self.capacity, self.waiting = capacity, waiting
        self.free, self.slots = capacity, parallel
        self.queue: FairQueue[_Ticket] = FairQueue()  # also of those that have left, until their turn comes
        self.waits = 0  # without those
        self.lock = threading.Lock()

    def acquire(self, size: int, owner: str = "") -> None:
        """Take `size` bytes and a slot. Raises Busy when too many wait already, or after PATIENCE seconds."""
        ticket = _Ticket(size)
        with self.lock:
            if self.waits >= self.waiting:
                raise Busy(f"[memory] {self.waiting} requests as large as this one wait for memory already")
            self.queue.push(owner, ticket)
            self.waits += 1
            self._grant()
        if not ticket.granted.acquire(timeout=PATIENCE):
            with self.lock:
                ticket.has_left = ticket.granted.locked()  # else it was granted at the last moment
                self.waits -= ticket.has_left
                self._grant()
            if ticket.has_left:
                raise Busy(f"[memory] none was free for {PATIENCE:g} s, as other large requests were being decoded")

    def release(self, size: int) -> None:
        """Give `size` bytes and a slot to those that wait."""
        with self.lock:
            self.free, self.slots = self.free + size, self.slots + 1
            self._grant()

    def _grant(self) -> None:
        """Let those begin whose turn it is, as far as there is room: each thread is woken for itself alone."""
        while (ticket := self.queue.first()) is not None:
            if not ticket.has_left:
                if ticket.size > self.free or self.slots == 0:
                    return
                self.free, self.slots = self.free - ticket.size, self.slots - 1
                self.waits -= 1
                ticket.granted.release()
            self.queue.pop()


class Memory:
    """What the requests of a worker may take for decoding at once: a semaphore for small ones, and one for large ones.

    The large ones leave a processor to the small ones, where there are several. Of small images as many are decoded at
    once as there are processors: more of them would only take each other's time.

    A thread works on one request at a time, and holds what that needs: `need` before it is used, `release` after it.
    """

    def __init__(self, limits: Limits):
        self.limits = limits
        part = limits.memory // SMALL_PART // 2
        self.small = WeightedSemaphore(part, parallel=limits.queue, waiting=limits.queue)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.images = WeightedSemaphore(part, parallel=max(2, cores), waiting=limits.queue)
        self.large = WeightedSemaphore(limits.memory - 2 * part, parallel=max(1, cores - 1), waiting=WAITING)
        self.held = threading.local()

    def need(self, size: int) -> None:
        """See to it that this thread holds `size` bytes. Raises Busy, or TooLarge if there are never that many."""
        self._need(size, self.small, "")

    def need_to_decode(self, size: int, owner: str = "") -> None:
        """As `need`, of a thread that goes on to decode an image of its owner."""
        self._need(size, self.images, owner)

    def _need(self, size: int, small: WeightedSemaphore, owner: str) -> None:
        if size > self.large.capacity:
            given = f"decoding takes up to {size / MIB:.0f} MiB, one request may take {self.large.capacity / MIB:g}"
            raise TooLarge(f"[memory] {given}; {raise_with('memory', self.limits)}")
        if size <= getattr(self.held, "size", 0):
            return
        self.release()  # who waits for more holds nothing that another may wait for
        semaphore = small if size <= min(SMALL, small.capacity) else self.large
        semaphore.acquire(size, owner)
        self.held.semaphore, self.held.size = semaphore, size

    def need_all(self) -> None:
        """See to it that this thread holds as much as one request may, as its need is not known yet. Raises Busy."""
        self.need(self.large.capacity)

    def release(self) -> None:
        """Give back what this thread holds, if anything."""
        size = getattr(self.held, "size", 0)
        self.held.size = 0
        if size:
            self.held.semaphore.release(size)
            if self.held.semaphore is self.large:
                trim()
