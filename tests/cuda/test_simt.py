"""The emulator finds what it says it finds: races, missed barriers, memory of the wrong side; and what mma is there."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from deploy.compiler import compiler

pytestmark = pytest.mark.thorough
HERE = Path(__file__).parent
FAULTS = {
    "reads too early": "a race: shared memory written that another thread reads",
    "writes twice": "a race: shared memory written by two threads",
    "writes what is read": "a race: shared memory read that another thread writes",
    "misses a barrier": "a shuffle that some threads do not reach",
    "misses a shuffle": "a shuffle that some threads do not reach",
    "reaches outside": "an access outside of shared memory",
    "an address of the host": "an address of the host among the arguments of the kernel",
    "an address of another device": "an address of another device among the arguments of the kernel",
}


def compiled(name: str, folder: Path) -> Path:
    flags = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-DSIMT_CHECK", "-x", "c++"]
    files = ["-include", HERE / "simt.h", HERE / f"{name}.cpp", "-o", folder / name]
    subprocess.run([*compiler(), *flags, *files], check=True)
    return folder / name


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled("faults", tmp_path_factory.mktemp("simt"))


@pytest.fixture(scope="module")
def fragments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled("fragments", tmp_path_factory.mktemp("simt"))


@pytest.mark.parametrize(("fault", "message"), FAULTS.items(), ids=FAULTS)
def test_a_fault_ends_the_process_with_its_name(faults: Path, fault: str, message: str) -> None:
    done = subprocess.run([faults, fault], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGABRT and message in done.stderr


def test_the_host_cannot_read_the_device_s_memory(faults: Path) -> None:
    plain = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}  # sanitizers take the signal
    assert subprocess.run([faults, "the host reads"], env=plain, check=False).returncode == -signal.SIGSEGV


def test_what_is_right_runs(faults: Path) -> None:
    assert subprocess.run([faults, "none"], check=False).returncode == 0


def test_mma_multiplies_fragments_that_lie_as_ptx_has_them(fragments: Path) -> None:
    done = subprocess.run([fragments, "right"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("swapped", ["a", "b", "c", "halves"])
def test_mma_of_fragments_that_lie_otherwise_is_another_product(fragments: Path, swapped: str) -> None:
    done = subprocess.run([fragments, swapped], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "mma: element" in done.stdout
