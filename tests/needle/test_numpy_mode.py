"""The files marked both_modes once more, in numpy mode: which arrays Tensors hold is chosen once per process."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def passed_in_numpy_mode(*what: str) -> int:
    """How many tests pass; none may fail."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color=no", *what]
    environment = {**os.environ, "NEEDLE_BACKEND": "np"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed, done.stdout[-2000:]
    return int(passed.group(1))


def test_the_course_s_interface_in_numpy_mode() -> None:
    assert passed_in_numpy_mode("tests/needle/test_contract.py", "tests/needle/test_ops.py") > 50


@pytest.mark.thorough
def test_the_marked_files_pass_in_numpy_mode() -> None:
    assert passed_in_numpy_mode("tests") > 2_000
