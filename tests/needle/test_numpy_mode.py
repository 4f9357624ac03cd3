"""The files marked both_modes once more, in numpy mode: which arrays Tensors hold is chosen once per process."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_marked_files_pass_in_numpy_mode() -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color=no", "tests"]
    environment = {**os.environ, "NEEDLE_BACKEND": "np"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed and int(passed.group(1)) > 100, done.stdout[-2000:]
