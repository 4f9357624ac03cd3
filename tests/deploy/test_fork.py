"""Forked children with a compiled model and the eager thread pool: any order of fork, run, close and exit ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import Built

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
PROGRAM = Path(__file__).parent / "fork_runs.py"


@pytest.mark.thorough
@pytest.mark.parametrize("case", ["idle", "generations", "at work"])
def test_a_child_uses_closes_replaces_and_leaves_what_it_inherits(built: Built, case: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(PROGRAM), str(built.library), case],  # (Python 3.12 warns of forks)
        env=os.environ | {"NEEDLE_NUM_THREADS": "3"}, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
