"""Forks with a compiled model and the eager thread pool at hand, for test_fork.py: `python fork_runs.py LIBRARY CASE`.

A child that is not at its end after ten seconds is killed by its alarm, which fails the run.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import numpy as np

import needle as ndl
from deploy import Compiled

X = np.random.default_rng(0).standard_normal((64, 3, 8, 8)).astype("float32")
LARGE = ndl.Tensor(np.ones((1000, 1000)))


def eager() -> float:
    """Work that the eager pool shares."""
    return float((LARGE * 2 + LARGE).sum().numpy().item())


def threads() -> int:
    """Of this process, those that Python does not know too (where the system tells)."""
    return len(os.listdir("/proc/self/task"))


class Both:
    """What children inherit: a model that has run, and what it said; eager work too."""

    def __init__(self, library: str) -> None:
        self.library = library
        alone = threads()
        self.model = Compiled(library, max_batch=64, threads=3)
        assert threads() == alone + 2, "a model starts its threads when it is made"
        self.wanted = self.model(X)
        self.total = eager()
        assert threads() == alone + 4, "this eager work is too small for threads"

    def run(self) -> None:
        np.testing.assert_array_equal(self.model(X), self.wanted)
        assert eager() == self.total

    def close(self) -> None:
        self.model.close()

    def replace(self) -> None:
        self.model = Compiled(self.library, max_batch=32, threads=2)

    def end(self) -> None:
        """Nothing: the interpreter ends with everything alive."""


def forked(*actions: Callable[[], Any]) -> None:
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        for action in actions:
            action()
        sys.exit(0)  # as programs end: everything that is alive is torn down
    assert os.waitpid(child, 0)[1] == 0, [action.__name__ for action in actions]


@contextmanager
def busy(action: Callable[[], Any]) -> Any:
    """Another thread does this again and again inside the `with` block."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            action()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def orders(both: Both) -> list[tuple[Callable[[], None], ...]]:
    run, close, replace = both.run, both.close, both.replace
    return [(both.end,), (run,), (close,), (replace, run), (run, close), (run, replace, run), (close, replace, run)]


def idle(both: Both) -> None:
    for actions in orders(both):
        forked(*actions)
        both.run()
    both.close()
    forked(both.replace, both.run)


def generations(both: Both) -> None:
    forked(both.run, lambda: forked(both.run, lambda: forked(both.close)), both.run)
    forked(lambda: forked(both.run), both.close)
    both.run()


def at_work(both: Both) -> None:
    """Another thread of the parent runs the model, or eager work, in the moment of the fork."""
    for action in (both.run, eager):
        for actions in orders(both) * 3:
            with busy(action):
                forked(*actions)
    both.run()


if __name__ == "__main__":
    {"idle": idle, "generations": generations, "at work": at_work}[sys.argv[2]](Both(sys.argv[1]))
