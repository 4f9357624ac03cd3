"""The emulator finds what it says it finds: races, missed barriers, memory of the wrong side."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from deploy.compiler import compiler

HERE = Path(__file__).parent
FAULTS = {
    "reads too early": "a race: shared memory written that another thread reads",
    "writes twice": "a race: shared memory written by two threads",
    "writes what is read": "a race: shared memory read that another thread writes",
    "misses a barrier": "a shuffle that some threads do not reach",
    "misses a shuffle": "a shuffle that some threads do not reach",
    "reaches outside": "an access outside of shared memory",
    "an address of the host": "an address of the host among the arguments of the kernel",
}


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("simt") / "faults"
    flags = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-DSIMT_CHECK", "-x", "c++"]
    subprocess.run([*compiler(), *flags, "-include", HERE / "simt.h", HERE / "faults.cpp", "-o", made], check=True)
    return made


@pytest.mark.parametrize(("fault", "message"), FAULTS.items(), ids=FAULTS)
def test_a_fault_ends_the_process_with_its_name(faults: Path, fault: str, message: str) -> None:
    done = subprocess.run([faults, fault], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGABRT and message in done.stderr


def test_the_host_cannot_read_the_device_s_memory(faults: Path) -> None:
    assert subprocess.run([faults, "the host reads"], check=False).returncode == -signal.SIGSEGV


def test_what_is_right_runs(faults: Path) -> None:
    assert subprocess.run([faults, "none"], check=False).returncode == 0
