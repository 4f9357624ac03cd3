"""SIGINT and SIGTERM during a run: the first lets it save itself and end, the second ends the process at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any, NoReturn

from ..weights import discard_unfinished
from .progress import say


class Interrupted(SystemExit, KeyboardInterrupt):
    """A run was saved and ended by SIGINT.

    Whoever catches KeyboardInterrupt catches it; where nobody does, the program ends with status 130, no traceback.
    """


class Interrupts:
    """Inside the `with` block the first SIGINT or SIGTERM is noted in `caught`, and the second ends the process.

    Only in the main thread, where Python runs the handlers, and only for signals that are neither ignored nor handled
    by the program itself. The handlers that were there are put back after the block, and get a signal that it left
    unanswered.
    """

    def __init__(self) -> None:
        self.caught: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self.caught is not None and kind is None:
            signal.raise_signal(self.caught)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.caught is not None:  # an exception could get lost in a __del__, or be caught: the process ends here
            discard_unfinished()
            os._exit(128 + number)
        self.caught = signal.Signals(number)

    def end(self, sentence: str) -> NoReturn:
        """Say the sentence and end the program as by the signal: with status 130 or 143."""
        say(sentence, sys.stderr)
        if self.caught == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        if hasattr(sys, "ps1"):  # an interactive session goes on
            raise KeyboardInterrupt
        raise Interrupted(128 + signal.SIGINT)
