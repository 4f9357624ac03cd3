"""The suite in both array modes.

Files marked `pytestmark = pytest.mark.both_modes` are about what numpy mode shares with NDArrays. With
NEEDLE_BACKEND=np pytest collects those files alone; `tests/needle/test_numpy_mode.py` runs it so.
"""

from __future__ import annotations

import gc
import os
import signal
from pathlib import Path

import pytest


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # so a shell starts what runs in its background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "both_modes: runs with NEEDLE_BACKEND=np too")
    config.addinivalue_line("markers", "thorough: shows at length what others show in part; `make test` leaves it out")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """In numpy mode, leave out the test files that need NDArrays."""
    if os.environ.get("NEEDLE_BACKEND") == "np" and collection_path.name.startswith("test_"):
        return True if "mark.both_modes" not in collection_path.read_text() else None
    return None


def pytest_collection() -> None:
    """What is collected lives to the end: the garbage collector need not look through ten thousand tests each time."""
    gc.disable()


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
    gc.enable()
