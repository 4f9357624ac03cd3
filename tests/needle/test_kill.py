"""A run that is killed with SIGKILL, in steps and while it writes, ends with the bytes of one that was not."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import needle as ndl

pytestmark = [pytest.mark.both_modes, pytest.mark.skipif(not hasattr(os, "fork"), reason="kills children it forks")]
PROGRAM = Path(__file__).parent / "kill_runs.py"
KINDS = {"1": ["whole", "steps", "writes", "times"]} | ({} if ndl.BACKEND == "np" else {"2": ["steps"], "4": ["steps"]})
RUNS = [(threads, loader, kind) for threads in KINDS for loader in ("keyed", "drawn") for kind in KINDS[threads]]


def results(threads: str) -> dict[tuple[str, str, str], list[str]]:
    """(threads, loader, how it was killed) -> the sha256 of checkpoint and log."""
    memory = "/dev/shm"  # a disk that syncs slowly is not what is tested
    with tempfile.TemporaryDirectory(dir=memory if os.path.isdir(memory) else None) as folder:
        done = subprocess.run(
            [sys.executable, str(PROGRAM), folder, *KINDS[threads]], env=os.environ | {"NEEDLE_NUM_THREADS": threads},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    return {(threads, loader, kind): found for loader, kind, *found in lines}


@pytest.fixture(scope="module")
def runs() -> dict[tuple[str, str, str], list[str]]:
    return {key: found for threads in KINDS for key, found in results(threads).items()}


@pytest.mark.thorough
@pytest.mark.parametrize("run", RUNS, ids=" ".join)
def test_a_killed_run_ends_with_the_bytes_of_a_whole_one(runs, run: tuple[str, str, str]) -> None:
    assert runs[run] == runs["1", run[1], "whole"]
    assert len(runs[run]) == 2 and runs["1", "keyed", "whole"] != runs["1", "drawn", "whole"]
