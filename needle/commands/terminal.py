"""Colours and lines that change in place, on terminals only."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

COLOURS = {"error": "31", "warning": "33"}  # red, yellow


def coloured(text: str, colour: str, stream: TextIO) -> str:
    """The text in one of COLOURS, if `stream` is a terminal that has them and NO_COLOR (no-color.org) is not set."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty()
    return text if plain else f"\x1b[{COLOURS[colour]}m{text}\x1b[0m"


@contextmanager
def ticking(what: str) -> Iterator[None]:
    """Say on standard error that `what` goes on, and for how long: `compiling resnet9 ... 12 s`.

    On a terminal the seconds count up in one line; elsewhere there is a line at the start and one at the end.
    """
    stream, began, done = sys.stderr, time.monotonic(), threading.Event()
    terminal = stream.isatty()

    def show(end: str) -> None:
        print(f"\r{what} ... {time.monotonic() - began:.0f} s", end=end, file=stream, flush=True)

    def count() -> None:
        while not done.wait(1):
            show("")

    if not terminal:
        print(f"{what} ...", file=stream, flush=True)
    else:
        show("")
        counter = threading.Thread(target=count, daemon=True)
        counter.start()
    try:
        yield
    finally:
        if terminal:
            done.set()
            counter.join()
            show("\n")
    if not terminal:
        print(f"{what} ... {time.monotonic() - began:.0f} s", file=stream, flush=True)
