"""A little of `make fuzz`: random calls, and changed ONNX files, give a value or a documented exception."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.both_modes
ROOT = Path(__file__).resolve().parent.parent


def test_random_calls_have_documented_outcomes() -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--calls", "2000", "--seed", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_changed_onnx_files_are_read_or_refused() -> None:
    pytest.importorskip("onnx")
    command = [sys.executable, "-m", "tests.fuzz", "onnx", "--calls", "400", "--seed", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
