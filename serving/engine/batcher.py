"""Requests that arrive while the model runs wait together, and run as one batch as soon as it is idle.

There is no thread of its own but leaders and followers among the requests' threads: the request that finds the model
idle leads, that is runs its batch, and then makes the first that waits the next leader.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from serving.engine.errors import Busy, Failed, ServingError, Unavailable
from serving.engine.fair import FairQueue, share
from serving.engine.models import Arrays, Run


@dataclass(eq=False)
class Job:
    """One request on its way through the model; times in seconds of `time.perf_counter`."""

    inputs: Mapping[str, np.ndarray]
    rows: int
    deadline: float
    arrived: float
    wake: threading.Event = field(default_factory=threading.Event)  # it is done, or is to lead
    outputs: Arrays = field(default_factory=dict)
    error: Exception | None = None
    queue_seconds: float = 0.0
    compute_seconds: float = 0.0

    @property
    def done(self) -> bool:
        return bool(self.outputs) or self.error is not None

    @property
    def key(self) -> tuple[Any, ...]:
        """Jobs with equal keys may share a batch: the same inputs, differing in the number of rows alone."""
        return tuple((name, array.shape[1:]) for name, array in sorted(self.inputs.items()))


class Batcher:
    """Joins concurrent requests into batches of at most `max_rows`; more than `limit` requests at once are refused.

    Row i of a batch gets what it would get alone, and an error in one request reaches no other.
    `on_run(rows, seconds)` is called after every run of the model.
    """

    def __init__(self, run: Run, max_rows: int, limit: int, on_run: Callable[[int, float], None] = lambda *_: None):
        self.run, self.max_rows, self.limit, self.on_run = run, max_rows, limit, on_run
        self.lock = threading.Lock()
        self.waiting: FairQueue[Job] = FairQueue()
        self.in_flight = 0
        self.owned: Counter[str] = Counter()  # of those in flight, by owner
        self.busy = False

    def submit(self, inputs: Mapping[str, np.ndarray], timeout: float | None = None, owner: str = "") -> Job:
        """Run `inputs` ({name: (rows, ...)}) and return the finished job; raises Busy, Unavailable or Failed.

        `timeout` is how many seconds the request may wait for its run. Owners take turns.
        """
        now = time.perf_counter()
        rows = len(next(iter(inputs.values())))
        job = Job(inputs, rows, deadline=now + timeout if timeout else float("inf"), arrived=now)
        with self.lock:
            if self.in_flight >= self.limit or self.owned[owner] >= share(self.limit, owner):
                raise Busy(f"[queue] full: the limit is {self.limit} requests, raised by needle-serve --max-queue")
            self.in_flight += 1
            self.owned[owner] += 1
            self.waiting.push(owner, job)
            if not self.busy:
                self.busy = True
                job.wake.set()
        try:
            job.wake.wait()
            if not job.done:
                self._lead()
        finally:
            with self.lock:
                self.in_flight -= 1
                self.owned[owner] -= 1
                if not self.owned[owner]:
                    del self.owned[owner]
        if job.error is not None:
            raise job.error
        return job

    def _lead(self) -> None:
        """Run one batch on behalf of all in it, then wake them and let the next that waits lead."""
        batch = self._take()
        try:
            self._execute([job for job in batch if not job.done])
        finally:
            with self.lock:
                next_leader = self.waiting.first()
                self.busy = next_leader is not None
            for job in batch:
                job.wake.set()
            if next_leader is not None:
                next_leader.wake.set()

    def _take(self) -> list[Job]:
        """The head of the queue as far as it fits in one batch; jobs whose time is over get an error."""
        batch: list[Job] = []
        room, now = self.max_rows, time.perf_counter()
        with self.lock:
            key = None
            while (job := self.waiting.first()) and (not batch or (job.rows <= room and job.key == key)):
                key = self.waiting.pop().key
                batch.append(job)
                job.queue_seconds = now - job.arrived
                if now > job.deadline:
                    job.error = Unavailable("[request] its timeout passed while it waited for the model")
                else:
                    room -= job.rows
        return batch

    def _execute(self, jobs: list[Job]) -> None:
        if not jobs:
            return
        started = time.perf_counter()
        try:
            if len(jobs) == 1:
                outputs = self.run(jobs[0].inputs)
            else:
                outputs = self.run({name: np.concatenate([j.inputs[name] for j in jobs]) for name in jobs[0].inputs})
        except Exception as problem:
            if len(jobs) > 1:  # one of them is to blame: let it fail alone
                for job in jobs:
                    self._execute([job])
                return
            jobs[0].error = problem if isinstance(problem, ServingError) else Failed("[model] the run failed")
            jobs[0].error.__cause__ = problem if jobs[0].error is not problem else None
            return
        seconds = time.perf_counter() - started
        self.on_run(sum(job.rows for job in jobs), seconds)
        at = 0
        for job in jobs:
            job.compute_seconds = seconds
            job.outputs = {name: array[at : at + job.rows] for name, array in outputs.items()}
            at += job.rows
