"""One run at a time in a folder: the second is refused, and the lock of a process that is gone is free."""

import os
import re
import subprocess
import sys
import threading

import numpy as np
import pytest

import needle as ndl
from needle import nn, optim
from needle.errors import DataError, NeedleError
from needle.training.lock import LOCK, locked

REFUSED = r"\[fit\] another run is in .*: process {} on {}, since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d. Wait for its"
HOLDER = "import sys; from needle.training.lock import locked; from pathlib import Path\nwith locked(Path({!r})): {}"


def refused(pid: int) -> str:
    return REFUSED.format(pid, re.escape(os.uname().nodename))


def holder(folder, then="print('held', flush=True); sys.stdin.read()") -> subprocess.Popen:
    command = [sys.executable, "-c", HOLDER.format(str(folder), then)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def fit(folder, **options):
    model = nn.Linear(2, 2)
    step = ndl.TrainStep(model, nn.SoftmaxLoss(), optim.SGD(model.parameters()))
    return ndl.fit(step, [(ndl.ones(4, 2), ndl.Tensor(np.zeros(4)))], 1, folder=folder, **options)


def test_another_process_is_named_and_nothing_is_touched(tmp_path):
    with holder(tmp_path) as other:
        with pytest.raises(NeedleError, match=refused(other.pid)):
            fit(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]
        other.kill()  # with SIGKILL: nothing is cleaned up
    assert (tmp_path / LOCK).exists()
    assert len(fit(tmp_path)) == 1 and not (tmp_path / LOCK).exists()


def test_a_run_inside_a_run_and_beside_it_is_refused(tmp_path):
    errors = []

    def another():
        try:
            fit(tmp_path)
        except NeedleError as error:
            errors.append(str(error))

    def evaluate():
        another()
        thread = threading.Thread(target=another)
        thread.start()
        thread.join()
        return {}

    assert len(fit(tmp_path, evaluate=evaluate)) == 1
    assert len(errors) == 2 and all(re.search(refused(os.getpid()), error) for error in errors)


def test_the_lock_ends_with_the_run_whatever_its_end(tmp_path):
    def fail():
        raise RuntimeError

    with pytest.raises(RuntimeError):
        fit(tmp_path, evaluate=fail)
    assert len(fit(tmp_path)) == 1


def test_a_child_that_outlives_its_parent_holds_nothing(tmp_path):
    with holder(tmp_path, "import os; os.fork() or print('held', flush=True); sys.stdin.read()") as parent:
        parent.kill()
        parent.wait()
        assert len(fit(tmp_path)) == 1  # while the child still waits for its input to end


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_that_ends_first_leaves_the_lock_to_its_parent(tmp_path):
    with locked(tmp_path):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        with pytest.raises(NeedleError, match=refused(os.getpid())), locked(tmp_path):
            pass


def test_folders_that_cannot_be_written_to_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"\[fit\] .*file cannot be the run's folder: File exists"):
        fit(tmp_path / "file")
    with pytest.raises(DataError, match=r"\[fit\] .*none/run.lock cannot be written: No such file or directory"), \
            locked(tmp_path / "none"):  # fmt: skip
        pass
