"""Requests that wait together run together, and nothing of one reaches another."""

import threading
import time

import numpy as np
import pytest

from serving.engine.batcher import Batcher
from serving.engine.counters import Counters
from serving.engine.errors import Busy, Failed, Unavailable


class Engine:
    """y = 2x, one run at a time, each held back until `gate` is open; remembers the rows of every run."""

    def __init__(self):
        self.gate = threading.Event()
        self.started = threading.Semaphore(0)
        self.runs = []

    def __call__(self, batch):
        self.runs.append(len(batch["x"]))
        self.started.release()
        assert self.gate.wait(10)
        if (batch["x"] < 0).any():
            raise ValueError("a negative number")
        return {"y": batch["x"] * 2}


def submit_all(batcher, inputs, **options):
    """Submit each from a thread of its own, in order; [(outputs or exception)] once all are done."""
    results = [None] * len(inputs)

    def one(i):
        try:
            results[i] = batcher.submit({"x": inputs[i]}, **options).outputs["y"]
        except Exception as problem:
            results[i] = problem

    threads = []
    for i in range(len(inputs)):
        threads.append(threading.Thread(target=one, args=(i,)))
        threads[-1].start()
        wait_until(lambda i=i: batcher.in_flight > i or results[i] is not None)
    return threads, results


def wait_until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.001)


def finish(engine, threads):
    engine.gate.set()
    for thread in threads:
        thread.join(10)


def test_what_arrives_during_a_run_is_the_next_batch():
    engine = Engine()
    batcher = Batcher(engine, max_rows=8, limit=100)
    inputs = [np.full((rows, 3), i, np.float32) for i, rows in enumerate([1, 2, 1, 4, 3, 8])]
    threads, results = submit_all(batcher, inputs)
    assert engine.runs == [1]  # idle: the first ran at once, alone
    finish(engine, threads)
    assert engine.runs == [1, 7, 3, 8]  # 2 + 1 + 4 rows, then as many as fit
    for given, found in zip(inputs, results, strict=True):
        np.testing.assert_array_equal(found, given * 2)
    assert (batcher.in_flight, batcher.busy) == (0, False)


def test_an_idle_engine_runs_a_request_at_once():
    engine = Engine()
    engine.gate.set()
    job = Batcher(engine, max_rows=8, limit=1).submit({"x": np.ones((2, 3))})
    np.testing.assert_array_equal(job.outputs["y"], np.full((2, 3), 2))


def test_a_request_that_fails_fails_alone():
    engine = Engine()
    batcher = Batcher(engine, max_rows=8, limit=100)
    threads, results = submit_all(batcher, [np.full((1, 3), x, np.float32) for x in (0, 1, -1, 3)])
    finish(engine, threads)
    assert isinstance(results[2], Failed)
    for i in (0, 1, 3):
        np.testing.assert_array_equal(results[i], np.full((1, 3), 2 * i))


def test_a_nan_stays_in_its_row():
    engine = Engine()
    batcher = Batcher(engine, max_rows=8, limit=100)
    threads, results = submit_all(batcher, [np.full((1, 3), x, np.float32) for x in (0, 1, np.nan, 3)])
    finish(engine, threads)
    assert engine.runs == [1, 3] and np.isnan(results[2]).all() and not np.isnan(results[1]).any()


def test_only_equal_shapes_share_a_batch():
    engine = Engine()
    batcher = Batcher(engine, max_rows=8, limit=100)
    threads, results = submit_all(batcher, [np.ones((1, n), np.float32) for n in (3, 3, 3, 4, 3)])
    finish(engine, threads)
    assert engine.runs == [1, 2, 1, 1] and [r.shape for r in results] == [(1, 3), (1, 3), (1, 3), (1, 4), (1, 3)]


def test_a_full_queue_refuses_at_once_and_recovers():
    engine = Engine()
    batcher = Batcher(engine, max_rows=8, limit=3)
    threads, results = submit_all(batcher, [np.ones((1, 3), np.float32)] * 3)
    with pytest.raises(Busy, match="--max-queue"):
        batcher.submit({"x": np.ones((1, 3))})
    finish(engine, threads)
    assert not any(isinstance(result, Exception) for result in results)
    batcher.submit({"x": np.ones((1, 3))})


def test_a_request_whose_time_is_over_is_not_run():
    engine = Engine()
    batcher = Batcher(engine, max_rows=8, limit=100)
    first, _ = submit_all(batcher, [np.ones((1, 3))])
    threads, results = [], [None]

    def late():
        try:
            batcher.submit({"x": np.ones((5, 3))}, timeout=1e-6)
        except Exception as problem:
            results[0] = problem

    threads.append(threading.Thread(target=late))
    threads[0].start()
    wait_until(lambda: batcher.in_flight == 2)
    finish(engine, first + threads)
    assert isinstance(results[0], Unavailable) and engine.runs == [1]


def test_counters_are_one_sum_over_workers_that_come_and_go():
    counters = Counters(["served"], columns=2, capacity=3, levels=["busy"], flags=["last"])
    counters.add(1, "served", 2)
    counters.add(1, "busy")
    counters.column = 2  # as the second worker sees it
    counters.add(1, "served", 5)
    counters.raise_flag(1, "last", 1)
    assert counters.total(1, "served") == 7 and counters.total(1, "busy") == 1 and not counters.total(2, "served")
    counters.fold(1)  # the first worker died while it was busy
    assert counters.total(1, "served") == 7 and counters.total(1, "busy") == 0 and counters.flag(1, "last") == 1
    counters.column = 1
    counters.add(1, "served")
    assert counters.total(1, "served") == 8
    counters.clear(1)
    assert not counters.total(1, "served") and not counters.flag(1, "last")
