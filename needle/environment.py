"""The environment variables that needle reads, strictly: one that is mistyped is an error, never ignored.

NEEDLE_BACKEND       nd or np: which arrays Tensors hold
NEEDLE_ISA           v2, v3 or v4: the widest instructions that kernels may use (x86-64)
NEEDLE_NUM_THREADS   threads of the kernels, from 1 on
NEEDLE_CACHE_MB      MiB of freed memory that is cached for the next arrays, from 0 on
NEEDLE_HOME          the cache folder: data sets and compiled models (default ~/.cache/needle)

`NEEDLE_DATA` and `NEEDLE_OFFLINE` belong to `needle.data`, `NEEDLE_PLUGINS` to the commands. Empty means not set.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import TracebackType

from .errors import SettingError

CHOICES = {"NEEDLE_BACKEND": ("nd", "np"), "NEEDLE_ISA": ("v2", "v3", "v4")}
COUNTS = {"NEEDLE_NUM_THREADS": 1, "NEEDLE_CACHE_MB": 0}  # the least that each may be
LONGEST = 9  # digits of a count: as many as fit into every integer that reads it


def check() -> None:
    """Raises SettingError for a variable that does not hold what it may; uncaught, that is one line, not a traceback.

    Every import of needle begins with it, so a command has no chance to catch the error.
    """
    try:
        for name, choices in CHOICES.items():
            given = os.environ.get(name, "")
            if given and given not in choices:
                raise SettingError(f"[needle] {name} must be {' or '.join(choices)}, got {given!r}")
        for name, least in COUNTS.items():
            given = os.environ.get(name, "")
            if given and not (given.isascii() and given.isdigit() and len(given) <= LONGEST and int(given) >= least):
                raise SettingError(f"[needle] {name} must be a whole number from {least} on, got {given!r}")
    except SettingError as error:
        sys.excepthook = _OneLine(error)
        raise


class _OneLine:
    """Prints one expected error as a line; every other one is left to the hook that was there before."""

    def __init__(self, expected: SettingError) -> None:
        self.expected, self.before = expected, sys.excepthook

    def __call__(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if error is self.expected:
            print(f"error: {error}", file=sys.stderr)
        else:
            self.before(kind, error, trace)


def home() -> Path:
    """The cache folder: everything that stays between runs. Raises SettingError if this user has none."""
    given = os.environ.get("NEEDLE_HOME")
    if given:
        return Path(given)
    try:
        return Path.home() / ".cache" / "needle"
    except RuntimeError:
        advice = "set NEEDLE_HOME to a folder that can be written to"
        raise SettingError(f"[needle] this user has no home folder to keep a cache in; {advice}") from None


def cache_folder(folder: str) -> Path:
    """The folder of that name inside `home()`, made if it is missing. Raises SettingError if it cannot be."""
    path = home() / folder
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from None
    return path


def unwritable(path: str | os.PathLike[str], error: OSError) -> SettingError:
    """The error that says what went wrong in the cache folder, and which variable names another."""
    reason = error.strerror or str(error)
    return SettingError(
        f"[needle] {path} cannot be written: {reason}; set NEEDLE_HOME to a folder that can be written to"
    )
