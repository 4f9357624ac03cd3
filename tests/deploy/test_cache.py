"""The cache's locks: released whatever else has them open."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from deploy.cache import _locked


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forking beside threads
def test_a_child_that_was_forked_under_a_lock_does_not_keep_it(tmp_path: Path) -> None:
    folder, (wait, end) = tmp_path / "a", os.pipe()
    with _locked(folder):
        path = tmp_path / ".a.lock"
        again = path.open("w")
        with pytest.raises(BlockingIOError):
            fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
        child = os.fork()
        if child == 0:
            os.close(end)
            os.read(wait, 1)  # until the parent has looked
            os._exit(0)
    try:
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        again.close()
        os.close(end)
        os.waitpid(child, 0)
        os.close(wait)
    assert not path.exists()
