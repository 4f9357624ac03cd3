"""Workers of the loader: the same batches, errors where they belong, and nothing left behind."""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import traceback

import numpy as np
import pytest

from needle import data
from needle.data.transforms import ColorJitter, Cutout, Normalize, RandomCrop, RandomFlip, RandomResizedCrop
from needle.errors import SettingError

pytestmark = pytest.mark.both_modes

PIPELINES = [
    (RandomCrop(2), RandomFlip(), Normalize(0.5, 0.25)),
    (ColorJitter(0.4, 0.4, 0.4), RandomResizedCrop(6), RandomFlip(), Normalize(0.5, 0.25), Cutout(3)),
]


class Images(data.NDArrayDataset):
    """Random images and their places; asking for `broken` raises what it is told to."""

    def __init__(self, n=50, broken=-1, error=None, wait=0.0):
        rng = np.random.default_rng(0)
        super().__init__(rng.integers(0, 256, (n, 3, 8, 6), dtype="uint8"), np.arange(n))
        self.broken, self.error, self.wait = broken, error, wait

    @data.batched
    def __getitem__(self, index):
        time.sleep(self.wait)
        if self.broken in np.atleast_1d(index):
            raise self.error
        return super().__getitem__(index)


def loader(dataset=None, batch_size=4, **settings):
    settings = {"shuffle": True, "seed": 3, "augment": PIPELINES[0], **settings}
    return data.DataLoader(dataset or Images(), batch_size, **settings)


def same(ours, theirs):
    ours, theirs = list(ours), list(theirs)
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("needle-loader")]


@pytest.fixture(autouse=True)
def _nothing_is_left_behind():
    yield
    assert settled(0)


@pytest.mark.parametrize("augment", PIPELINES)
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_workers_gives_the_same_batches(workers, augment):
    one, other = loader(augment=augment), loader(augment=augment, workers=workers, prefetch=1 + workers % 2)
    for _ in range(2):
        same(one, other)
    one.set_epoch(7)
    other.set_epoch(7)
    same(one, other)


def test_workers_without_a_seed():
    one, other = (data.DataLoader(Images(), 4, shuffle=True, workers=workers) for workers in (0, 2))
    for each in (one, other):
        np.random.seed(0)
        each.found = [y.numpy() for _, y in each]
    np.testing.assert_array_equal(np.concatenate(one.found), np.concatenate(other.found))


def test_resuming_in_mid_epoch_with_other_workers():
    one, other = loader(workers=2), loader(workers=1)
    running = iter(one)
    for _ in range(5):
        next(running)
    other.load_state_dict(one.state_dict())  # what is prefetched does not count
    for batch in other:
        same([next(running)], [batch])
    with pytest.raises(StopIteration):
        next(running)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_comes_where_its_batch_would_have(workers):
    broken = loader(Images(broken=17, error=KeyError("no such file")), shuffle=False, workers=workers)
    got = []
    with pytest.raises(KeyError, match="no such file") as caught:
        for _, y in broken:
            got += y.numpy().tolist()
    assert got == list(range(16))
    assert caught.value.__notes__ == ["[DataLoader] while reading sample 17", "[DataLoader] in batch 4 of epoch 0"]
    assert "raise self.error" in "".join(traceback.format_exception(caught.value))
    broken.dataset.error = None
    broken.dataset.broken = -1
    assert next(broken)[1].numpy().tolist() == [16, 17, 18, 19]  # mended, it goes on with the batch that failed


def test_a_stop_iteration_of_the_data_set_is_an_error():
    with pytest.raises(RuntimeError, match="raised StopIteration"):
        list(loader(Images(broken=3, error=StopIteration()), workers=1))


def test_workers_stay_within_the_prefetch():
    slow = loader(Images(200), workers=2, prefetch=3)
    counted = []
    slow.dataset.__class__ = type("Counted", (Images,), {
        "__getitem__": data.batched(lambda self, index: counted.append(1) or Images.__getitem__(self, index)),
    })  # fmt: skip
    next(iter(slow))
    time.sleep(0.05)
    assert len(counted) == 7  # the one that was taken and two times three


def settled(count):
    """Whether no more than `count` of the loaders' threads are left, soon."""
    gc.collect()
    end = time.monotonic() + 5
    while len(threads()) > count and time.monotonic() < end:
        time.sleep(0.005)
    return len(threads()) <= count


def test_an_abandoned_iteration_ends_its_threads():
    busy = loader(Images(wait=0.002), workers=3)
    next(iter(busy))
    first = set(threads())
    assert 1 <= len(first) <= 3
    next(iter(busy))  # anew: the threads of the iteration before end
    assert settled(3) and set(threads()) != first
    del busy
    assert settled(0)


def test_threads_end_with_the_epoch():
    one = loader(workers=2)
    assert len(list(one)) == 13 and settled(0)


@pytest.mark.parametrize(("settings", "message"), [
    ({"workers": -1}, "workers >= 0 and prefetch >= 1, got -1 and 2"),
    ({"workers": 1, "prefetch": 0}, "got 1 and 0"),
])  # fmt: skip
def test_arguments_that_make_no_sense(settings, message):
    with pytest.raises(SettingError, match=message):
        loader(**settings)


def test_draws_from_the_global_generator_are_refused():
    dataset = Images()
    dataset.transforms = [data.RandomFlipHorizontal()]
    with pytest.raises(SettingError, match="RandomFlipHorizontal of the data set draws from numpy's global generator"):
        loader(dataset, workers=1)
    loader(dataset)


def _labels_in_child(one, answer):
    answer.put(np.concatenate([y.numpy() for _, y in one]))


@pytest.mark.skipif(sys.platform == "win32" or sys.version_info >= (3, 12), reason="forks a process with threads")
def test_a_forked_process_makes_workers_of_its_own():
    one, other = loader(workers=2), loader()
    next(iter(one))
    context = multiprocessing.get_context("fork")
    answer = context.SimpleQueue()
    child = context.Process(target=_labels_in_child, args=(one, answer))
    child.start()
    got = answer.get()
    child.join(10)
    assert child.exitcode == 0
    other.set_epoch(1)
    np.testing.assert_array_equal(got, np.concatenate([y.numpy() for _, y in other]))


SCRIPT = """
import signal, time
from tests.needle.test_loader_workers import Images, loader
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
slow = loader(Images(wait=0.05), workers=2)
for _ in slow:
    print("going", flush=True)
    {then}
"""


ENDINGS = [("time.sleep(30)", -signal.SIGINT), ("break", 0), ("raise SystemExit(3)", 3)]


@pytest.mark.parametrize(("then", "code"), ENDINGS)
def test_a_process_ends_promptly_in_the_middle_of_an_epoch(then, code):
    command = [sys.executable, "-W", "error", "-c", SCRIPT.format(then=then)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ) as process:
        assert process.stdout.readline() == b"going\n"
        if code == -signal.SIGINT:
            process.send_signal(signal.SIGINT)
        try:
            _, errors = process.communicate(timeout=25)
        finally:
            process.kill()
    assert process.returncode == code, errors.decode()
    assert (b"KeyboardInterrupt" in errors) == (code == -signal.SIGINT) and b"Warning" not in errors
