"""Memory for decoding is shared out: large requests queue, small ones pass them, and nothing is kept."""

import json
import threading
import zlib

import pytest

from serving.engine import memory
from serving.engine.errors import Busy, TooLarge
from serving.engine.limits import MIB, Limits
from serving.engine.memory import Memory, WeightedSemaphore

INFER = "/v2/models/resnet9/infer"


def in_thread(action) -> threading.Thread:
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    return thread


def holding(shared: Memory, size: int) -> threading.Event:
    """A thread that holds `size` bytes until the event is set; returns when it does."""
    there, over = threading.Event(), threading.Event()

    def hold():
        shared.need(size)
        there.set()
        over.wait(10)
        shared.release()

    in_thread(hold)
    assert there.wait(10)
    return over


def test_large_requests_wait_for_each_other_and_small_ones_for_none():
    shared = Memory(Limits())
    over = holding(shared, 200 * MIB)
    shared.need(8 * MIB)
    shared.release()
    done = threading.Event()
    second = in_thread(lambda: (shared.need(100 * MIB), done.set(), shared.release()))
    assert not done.wait(0.05)
    over.set()
    second.join(10)
    assert done.is_set() and shared.large.free == shared.large.capacity


def test_who_waits_too_long_or_in_too_long_a_queue_is_told_to_come_again(monkeypatch):
    monkeypatch.setattr(memory, "PATIENCE", 0.05)
    semaphore = WeightedSemaphore(10, parallel=5, waiting=1)
    semaphore.acquire(8)
    with pytest.raises(Busy, match=r"none was free for 0\.05 s") as refusal:
        semaphore.acquire(3)
    assert refusal.value.retry_after == 1
    semaphore.acquire(2)
    semaphore.release(8)
    semaphore.release(2)
    with pytest.raises(Busy, match=r"0 requests .* wait"):
        WeightedSemaphore(10, parallel=1, waiting=0).acquire(1)
    assert (semaphore.free, semaphore.slots, len(semaphore.queue)) == (10, 5, 0)


def test_those_who_have_left_take_no_place_in_the_queue(monkeypatch):
    monkeypatch.setattr(memory, "PATIENCE", 30)
    semaphore = WeightedSemaphore(10, parallel=5, waiting=2)
    semaphore.acquire(8)
    first = in_thread(lambda: semaphore.acquire(9))  # who does not leave, and keeps the others waiting
    while semaphore.waits == 0:
        pass
    monkeypatch.setattr(memory, "PATIENCE", 0.02)
    for _ in range(3):
        with pytest.raises(Busy, match="none was free"):
            semaphore.acquire(1)
    semaphore.release(8)
    first.join(10)
    semaphore.acquire(1)
    assert (semaphore.free, semaphore.waits, len(semaphore.queue)) == (0, 0, 0)


def test_the_order_is_that_of_asking():
    semaphore = WeightedSemaphore(10, parallel=5, waiting=9)
    semaphore.acquire(10)
    got = []

    def ask(size):
        semaphore.acquire(size)
        got.append(size)
        semaphore.release(size)

    threads = []
    for size in (9, 2):  # the second would fit first
        threads.append(in_thread(lambda size=size: ask(size)))
        while len(semaphore.queue) < len(threads):
            pass
    semaphore.release(5)
    assert got == []
    semaphore.release(5)
    for thread in threads:
        thread.join(10)
    assert got == [9, 2]


def test_a_thread_holds_the_most_it_needs_at_once():
    shared = Memory(Limits())
    shared.need(1 * MIB)
    shared.need(20 * MIB)
    shared.need(2 * MIB)
    assert shared.small.free == shared.small.capacity and shared.large.capacity - shared.large.free == 20 * MIB
    shared.release()
    shared.release()
    assert shared.large.free == shared.large.capacity
    with pytest.raises(TooLarge, match=r"225 MiB, one request may take 224; .*--max-decode-mib"):
        shared.need(225 * MIB)


@pytest.mark.parametrize("body, status", [
    (b"{}", 400),
    (b'{"inputs": [' + b"[]," * 400_000 + b"1]}", 400),
    (b'{"inputs": [' + b" " * (9 << 20) + b"]}", 413),  # nine MiB of JSON may be 252 MiB of lists
    (b"x" * 100, 400),
])  # fmt: skip
@pytest.mark.parametrize("encoding, pack", [("identity", bytes), ("deflate", zlib.compress)])
def test_nothing_is_held_when_a_request_is_over(make_client, body, status, encoding, pack):
    client = make_client()
    answer = client.post(INFER, data=pack(body), headers={"Content-Encoding": encoding})
    assert answer.status_code == status and list(json.loads(answer.data)) == ["error"]
    shared = client.application.extensions["needle-serve"].memory
    assert shared.small.free == shared.small.capacity and shared.large.free == shared.large.capacity
