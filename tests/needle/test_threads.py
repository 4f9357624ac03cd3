"""The thread pool from Python: same bits for every number of threads, several callers, fork, NEEDLE_NUM_THREADS."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from needle import backend_ndarray as nd
from needle.backend_ndarray.kernels import kernels

mod = nd.cpu().mod
LARGE = np.random.default_rng(0).standard_normal((700, 300)).astype("float32")


@pytest.fixture(autouse=True)
def same_threads_afterwards():
    before = mod.num_threads()
    yield
    mod.set_num_threads(before)


def work() -> list[np.ndarray]:
    """Kernels that share their work: maps, reductions both ways, a transposing copy, a matrix product, a norm."""
    x = nd.array(LARGE, device=nd.cpu())
    results = [x.tanh() * x, x.sum(0), x.sum(1), x.sum(), x.max(), x.permute((1, 0)).compact(), x @ x.permute((1, 0))]
    return [result.numpy() for result in results] + [np.array(kernels(x).squared_norm([x, x]))]


def test_same_bits_for_every_number_of_threads():
    mod.set_num_threads(1)
    wanted = work()
    for count in (2, 3, 4):
        mod.set_num_threads(count)
        assert mod.num_threads() == count
        for got, one in zip(work(), wanted, strict=True):
            np.testing.assert_array_equal(got, one)


def test_several_callers_at_once():
    mod.set_num_threads(3)
    wanted, wrong = work(), []

    def call():
        for _ in range(20):
            if not all(np.array_equal(a, b) for a, b in zip(work(), wanted, strict=True)):
                wrong.append(threading.get_ident())

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


@pytest.mark.parametrize("count", [0, -1, 257, 2**31])
def test_refused_numbers(count):
    with pytest.raises((ValueError, TypeError)):
        mod.set_num_threads(count)


def run(program: str, **environment: str) -> str:
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", program], env={**os.environ, **environment},
                         capture_output=True, text=True, timeout=100)  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_environment_names_the_number():
    program = "from needle.backend_ndarray import cpu; print(cpu().num_threads())"
    assert run(program, NEEDLE_NUM_THREADS="3") == "3"
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert run(program, NEEDLE_NUM_THREADS="") == str(min(allowed, 256))


def test_a_forked_child_has_its_own_pool():
    program = """
import os
import numpy as np
from needle import backend_ndarray as nd
x = nd.array(np.ones((1000, 1000)))
def total(): return float((x.exp() * 2).sum().numpy()[0])
before = total()
for generation in range(3):
    child = os.fork()
    if child == 0:
        if total() != before: os._exit(1)
        if generation < 2: continue
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    break
if generation and child: os._exit(0)
assert total() == before
print("fine")
"""
    assert run(program, NEEDLE_NUM_THREADS="3") == "fine"


@pytest.mark.thorough
def test_a_child_of_a_process_at_work_ends():
    program = """
import os, signal, sys, threading
import numpy as np
from needle import backend_ndarray as nd
x = nd.array(np.ones((1000, 1000)))
def total(): return float((x.exp() * 2).sum().numpy()[0])
before, stop = total(), threading.Event()
def work():
    while not stop.is_set(): total()
worker = threading.Thread(target=work)
worker.start()
for _ in range(20):
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        sys.exit(any(total() != before for _ in range(3)))
    assert os.waitpid(child, 0)[1] == 0
stop.set()
worker.join()
assert total() == before
print("fine")
"""
    assert run(program, NEEDLE_NUM_THREADS="3") == "fine"
