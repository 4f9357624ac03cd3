"""One run at a time in a folder: a lock that the system takes back when its process ends, in whatever way."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import DataError, NeedleError

LOCK = "run.lock"
_held: set[int] = set()  # the file descriptors of this process's locks


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Inside the `with` block no other run, of this process or another, can lock the folder.

    Raises NeedleError, naming the other run, when there is one; DataError where the folder cannot be written to. The
    lock is on an open file (flock), not the file's being there: that of a process that was killed is free.
    """
    handle = _open(folder / LOCK)
    _held.add(handle)
    try:
        os.ftruncate(handle, 0)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        os.write(handle, f"process {os.getpid()} on {os.uname().nodename}, since {since}\n".encode())
        yield
    finally:
        if handle in _held:  # else this is a forked child, and the lock its parent's
            _held.discard(handle)
            with suppress(OSError):
                os.unlink(folder / LOCK)
            os.close(handle)


def _open(path: Path) -> int:
    """A file descriptor that holds the lock."""
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise DataError(f"[fit] {path} cannot be written: {error.strerror}") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            on_disk, opened = os.stat(path), os.fstat(handle)
            if (on_disk.st_dev, on_disk.st_ino) == (opened.st_dev, opened.st_ino):
                return handle
            os.close(handle)  # whoever held it has removed it: the lock of a file that is gone
        except FileNotFoundError:
            os.close(handle)
        except BlockingIOError:
            other = os.read(handle, 1000).decode(errors="replace").strip() or "a process that has just begun"
            os.close(handle)
            raise NeedleError(
                f"[fit] another run is in {path.parent}: {other}. Wait for its end, or use another folder"
            ) from None
        except OSError as error:
            os.close(handle)
            raise DataError(f"[fit] {path} cannot be locked: {error.strerror}") from None


def _forked() -> None:
    """A child that outlives its parent must not hold the parent's locks. Closing its descriptors leaves them locked."""
    for handle in _held:
        os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_forked)
