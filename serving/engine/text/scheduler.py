"""Continuous batching: the rows of all requests go through one step program together, and join or leave at any token.

A turn reads one piece of the prompts that wait to be read, then the newest token of every other sequence; so a long
prompt delays the others by no more than a piece. A row's logits do not depend on its company, and each sequence draws
with a generator of its own: the text of a request is the same whatever runs beside it.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from serving.engine.errors import Busy, Failed
from serving.engine.fair import FairQueue, share
from serving.engine.text.programs import LONGEST, StepProgram
from serving.engine.text.task import Call, Task

PIECE = LONGEST  # tokens of a prompt that are read at once
BUDGET = 128  # tokens that one piece has at most, all prompts together

log = logging.getLogger("serving")


class Scheduler:
    """Runs the calls that are given to it in a thread of its own, which ends after `close` when nothing is left to do.

    At most `limit` calls are taken at once, waiting or running; owners take turns, and share both with each other.
    `on_run(rows, seconds)` is called after every run of the program.
    """

    def __init__(self, name: str, program: StepProgram, limit: int = 56):
        self.name, self.program, self.limit = name, program, limit
        self.on_run: Callable[[int, float], None] = lambda *_: None
        self._changed = threading.Condition()
        self._waiting: FairQueue[tuple[Call, Task]] = FairQueue()
        self._running: dict[int, tuple[Call, Task]] = {}  # by slot
        self._calls: dict[Call, None] = {}
        self._thread: threading.Thread | None = None
        self._closing = False

    def submit(self, call: Call) -> None:
        """Begin to work on a call. Raises Busy when there are too many, or too many of its owner."""
        with self._changed:
            own = sum(1 for other in self._calls if other.owner == call.owner)
            if len(self._calls) >= self.limit or own >= share(self.limit, call.owner):
                raise Busy(f"[queue] full: the limit is {self.limit} requests, raised by needle-serve --max-queue")
            self._calls[call] = None
            for task in call.tasks:
                self._waiting.push(call.owner, (call, task))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=f"text {self.name}", daemon=True)
                self._thread.start()
            self._changed.notify()

    def cancel(self, call: Call) -> None:
        """Stop to work on a call, before the next token; a call that is done stays as it is."""
        with self._changed:
            call.cancelled = True
            self._changed.notify()

    def close(self) -> None:
        """Let the thread end when all calls are done."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    @property
    def busy(self) -> int:
        """How many calls it works on."""
        return len(self._calls)

    # -- in its thread

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._calls:
                    if self._closing:
                        self._thread = None
                        return
                    self._changed.wait()
                self._leave()
                self._admit()
            try:
                self._turn()
            except Exception as problem:
                log.exception("[%s] a run failed", self.name)
                self._fail(problem)
            self._tell()

    def _admit(self) -> None:
        """Give free slots to sequences that wait, owner after owner."""
        free = [slot for slot in range(self.program.slots) if slot not in self._running]
        for _ in range(self._waiting.owners()):  # an owner with its share of slots is passed over
            while free and (item := self._waiting.first()) is not None:
                call, task = item
                held = sum(1 for other, _ in self._running.values() if other.owner == call.owner)
                if held >= share(self.program.slots, call.owner):
                    break
                self._waiting.pop()
                task.slot = free.pop(0)
                self.program.begin(task.slot)
                self._running[task.slot] = call, task
            self._waiting.skip()

    def _leave(self) -> None:
        """End the calls whose client has left."""
        for call in [call for call in self._calls if call.cancelled]:
            for task in call.tasks:
                if task.finish is None:
                    task.fail("cancelled")
            self._end(call)
        if any(call.cancelled for call, _ in self._waiting):
            kept = [item for item in self._waiting if not item[0].cancelled]
            self._waiting.clear()
            for call, task in kept:
                self._waiting.push(call.owner, (call, task))

    def _turn(self) -> None:
        """Read a piece of some prompts, and a token of each sequence that writes."""
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.fit(self.program.context)
        piece = self._piece([task for task in tasks if task.unread() > 1])
        if piece:
            self._read(piece, min(PIECE, piece[0].unread()))
        writing = [task for task in tasks if task.unread() == 1 and task not in piece]
        if writing:
            self._read(writing, 1)

    def _piece(self, tasks: Sequence[Task]) -> list[Task]:
        """Those that read in this turn: the one that came first, and others with at least as much to read."""
        if not tasks:
            return []
        size = min(PIECE, tasks[0].unread())
        return [task for task in tasks if task.unread() >= size][: max(1, BUDGET // size)]

    def _read(self, tasks: Sequence[Task], size: int) -> None:
        """Let tasks read their next `size` tokens; those that have then read everything write."""
        begun = time.perf_counter()
        slots, positions = [task.slot for task in tasks], [task.position for task in tasks]
        ids = [task.window[task.position : task.position + size] for task in tasks]
        logits = self.program.read(slots, positions, ids)
        self.on_run(len(tasks), time.perf_counter() - begun)
        finite = bool(np.isfinite(logits).all())
        writing = []
        for i, (task, row) in enumerate(zip(tasks, logits, strict=True)):
            if not finite and not np.isfinite(row).all():
                task.fail("failed", Failed(f"[{self.name}] the model's logits are not finite"))
                continue
            if task.asked.echo and task.completed == 0:
                task.echo(task.position, row)
            task.position += size
            if not task.unread():
                writing.append(i)
        Task.draw([tasks[i] for i in writing], logits[writing, -1])

    def _fail(self, problem: Exception) -> None:
        """A run has failed: so has everything that was in it."""
        for _, task in self._running.values():
            error = Failed("[model] the run failed")
            error.__cause__ = problem
            task.fail("failed", error)

    def _tell(self) -> None:
        """Free the slots of tasks that have ended, and wake those who wait for them."""
        now = time.perf_counter()
        touched: dict[Call, None] = {}
        for slot, (call, task) in list(self._running.items()):
            touched[call] = None
            if call.first is None and (task.completed or task.finish):
                call.first = now
            if task.finish is not None:
                del self._running[slot]
        for call in touched:
            call.left = sum(task.finish is None for task in call.tasks)
            if call.done:
                self._end(call)
            call.tell(now)

    def _end(self, call: Call) -> None:
        with self._changed:
            self._calls.pop(call, None)
            for slot in [slot for slot, (other, _) in self._running.items() if other is call]:
                del self._running[slot]
        call.left = 0
        call.tell(time.perf_counter())
