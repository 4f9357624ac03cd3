"""The device's kernels in the emulator: a part of what `make cuda-check` runs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.mark.thorough
@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
def test_kernels_agree_with_plain_loops_and_do_not_race() -> None:
    done = subprocess.run([Path(__file__).parent / "check.sh", "kernels"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
