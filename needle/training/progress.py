"""What a run says while it works, a bar that redraws itself on a terminal or lines elsewhere; and how long it took."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path
from typing import Self, TextIO

from ..reprs import count
from .history import Row, text

HIDDEN = ("epoch", "step")
TIMES = "times.csv"  # beside the checkpoint, not in it: that is the same bytes for the same run
ROW = re.compile(r"(\d+),(\d+\.\d{3})(?:,(\d+))?", re.ASCII)


class Watcher:
    """What `fit` tells of a run, and to whom: this one keeps it to itself. A subclass overrides what it listens to.

    Epochs count from 0, positions are batches done in an epoch. Nothing but a watcher reads the run's clock.
    """

    began = 0.0
    before = 0.0  # seconds that the epoch had taken when the run was saved, from where it goes on

    def __enter__(self) -> Self:
        self.began = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.end_line()

    def end_line(self) -> None:
        """Whatever comes next, an error too, begins a line."""

    def start(self, position: int) -> None:
        """An epoch begins, or goes on at batch `position`."""
        self.began = time.monotonic()

    @property
    def seconds(self) -> float:
        """What the epoch has taken so far, without the time between an interruption and the run's going on."""
        return self.before + time.monotonic() - self.began

    def batch(self, epoch: int, position: int, metrics: Row) -> None:
        """Batch number `position` of the epoch is done."""

    def epoch(self, epoch: int, row: Row) -> None:
        """The epoch is done, with this row of the log."""

    def resumed(self, epoch: int, position: int) -> None:
        """The run goes on from its checkpoint."""

    def saved(self, path: Path, steps: int) -> None:
        """The checkpoint was written, after so many steps."""

    def line(self, message: str) -> None:
        """Something else that is worth a line."""


class Progress(Watcher):
    """Reports of one run on standard output."""

    def __init__(self, title: str, epochs: int, batches: int | None) -> None:
        self.title = f"{title}  " if title else ""
        self.epochs, self.batches = epochs, batches
        self.terminal = sys.stdout.isatty()
        self.began = self.drawn = time.monotonic()
        self.first = 0
        self.open = False  # a bar stands on the last line
        self.said = False  # where the run goes on from

    def __enter__(self) -> Self:
        if not self.said:  # an epoch may take an hour: nobody should have to guess whether it has begun
            each = f" of {count(self.batches, 'batch', 'batches')}" if self.batches else ""
            message = f"{self.title}begins: {count(self.epochs, 'epoch')}{each}"
            (self._show if self.terminal else self.line)(message)
        return self

    def end_line(self) -> None:
        """Whatever comes next, an error too, begins a line."""
        if self.open:
            say("", sys.stdout)
            self.open = False

    def start(self, position: int) -> None:
        """An epoch begins, or goes on at batch `position`."""
        super().start(position)
        self.first = position

    def batch(self, epoch: int, position: int, metrics: Row) -> None:
        """Batch number `position` of the epoch is done: the bar ten times a second at most, else a line each minute."""
        if time.monotonic() - self.drawn < (0.1 if self.terminal else 60):
            return
        self.drawn = time.monotonic()
        rate = (position - self.first) / max(self.drawn - self.began, 1e-9)
        place = str(position)
        if self.batches:
            filled = round(20 * min(1.0, position / self.batches))
            left = max(0, self.batches - position) / max(rate, 1e-9)
            place = f"[{'=' * filled}{' ' * (20 - filled)}] {position}/{self.batches}  {clock(left)} left"
        show = self._show if self.terminal else self.line
        show(f"{self._head(epoch)}  {place}  {numbers(metrics)}  {rate:.3g} steps/s")

    def epoch(self, epoch: int, row: Row) -> None:
        """The epoch is done; its row of the log stays on the screen."""
        self.line(f"{self._head(epoch)}  {numbers(row)}  {clock(self.seconds)}")

    def resumed(self, epoch: int, position: int) -> None:
        """The run goes on from its checkpoint."""
        self.said = True
        if epoch >= self.epochs:
            self.line(f"{self.title}all {epoch} epochs are done")
        else:
            self.line(f"{self._head(epoch)}  goes on" + (f" after batch {position}" if position else ""))

    def line(self, message: str) -> None:
        """A line that stays."""
        self._show(message)
        self.open = True
        self.end_line()

    def _head(self, epoch: int) -> str:
        return f"{self.title}epoch {epoch + 1}/{self.epochs}"

    def _show(self, message: str) -> None:
        if self.terminal:
            import shutil  # archives and their formats come with it

            width = shutil.get_terminal_size().columns - 1
            say(f"\r{message[:width]:<{width}}", sys.stdout, end="")
            self.open = True
        else:
            say(message, sys.stdout, end="")


def note_time(folder: Path, epoch: int, seconds: float, batches: int) -> None:
    """Add a row to the run's times: what an epoch, counted from 1, has taken after so many of its batches."""
    with open(folder / TIMES, "a") as file:
        file.write(f"{epoch},{seconds:.3f},{batches}\n")


def times(folder: Path) -> list[tuple[int, float, int | None]]:
    """The rows of a run's times, (epoch, seconds, batches); earlier versions noted no batches.

    A row that was torn while it was written is left out, and no file has no rows: what is lost is a report's, no more.
    """
    try:
        lines = (folder / TIMES).read_text(errors="replace").splitlines()
    except OSError:
        return []
    rows = filter(None, map(ROW.fullmatch, lines))
    return [(int(row[1]), float(row[2]), None if row[3] is None else int(row[3])) for row in rows]


def spent(folder: Path, epoch: int, batches: int) -> float:
    """The seconds of an epoch until the run was saved after so many of its batches; 0 where that is not known."""
    return next((row[1] for row in reversed(times(folder)) if (row[0], row[2]) == (epoch, batches)), 0.0)


def say(message: str, stream: TextIO, end: str = "\n") -> None:
    """Print the message. A reader that is gone (`| tee log` ends by the same Ctrl-C) must not end the run as well."""
    try:
        print(message, end=end, file=stream, flush=True)
    except BrokenPipeError:  # what is written from now on, and what is left at the end, goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def numbers(row: Row) -> str:
    """The metrics of a row, as "loss 0.6931  accuracy 0.5"."""
    return "  ".join(f"{name} {text(float(f'{value:.4g}'))}" for name, value in row.items() if name not in HIDDEN)


def clock(seconds: float) -> str:
    """m:ss, or h:mm:ss from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
