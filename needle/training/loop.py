"""The training loop: epochs over a loader, a log, and a checkpoint from which a killed run goes on."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from numbers import Real
from pathlib import Path
from typing import Any

import numpy

from ..errors import DataError, NeedleError, SettingError
from ..optim.settings import whole
from .checkpoint import RunState, contents, load_run, save_run
from .history import History, Row
from .interrupts import Interrupts
from .lock import locked
from .progress import Progress, Watcher, note_time, spent

CHECKPOINT = "checkpoint.safetensors"


def fit(
    step: Any, loader: Any, epochs: int, *, folder: str | os.PathLike[str] | None = None, config: Any = None,
    evaluate: Callable[[], Row] | None = None, on_epoch: Callable[[int], object] | None = None,
    save_every: int | None = None, save_minutes: float | None = 5, log_every: int | None = None, title: str = "",
    watch: Watcher | None = None, stop: Callable[[], bool] | None = None,
) -> History:  # fmt: skip
    """Train: `step(*batch)` for every batch of `loader`, `epochs` times over; the log of it.

    `step` is a `TrainStep`, or any callable that returns {"loss": ..., ...} and has `state_dict` and `load_state_dict`;
    its `train()` and `eval()` are called where it has them. After each epoch, counted from 1, the metrics of
    `evaluate()` join the log (with "val_" before names that the step uses too) and `on_epoch(epoch)` is called; both
    run in eval mode, and numpy's generator is put back after them.

    With `folder`, that holds `log.csv` (a row of means for each epoch, or every `log_every` steps), `loss.svg` (where
    matplotlib is installed), `times.csv` (the seconds of each epoch, noted whenever the run is saved, which differ from
    run to run) and `checkpoint.safetensors`, written after each epoch, or every `save_every` steps, when the last one
    is `save_minutes` old, and at the end. When `folder` has a checkpoint the run goes on from it, to the same bytes as
    if it had not been interrupted. `config` is anything that JSON can say; it is kept in the checkpoint, and a run with
    another one is refused.

    With `folder` and in the main thread, SIGINT (Ctrl-C) and SIGTERM let the running step, or evaluation, end; then the
    run is saved and Interrupted is raised, which is a KeyboardInterrupt, or SystemExit: status 130 or 143. A second
    signal ends the process at once. Signals that the program handles or ignores are left to it.

    With `watch` the run tells that what it would print and draw. With `stop`, which is asked before an epoch and after
    each step, the run is saved and `fit` returns once that says True; signals are the caller's then.

    Raises NeedleError for a checkpoint of another config, a config or state that cannot be saved, a loss that is not
    finite, a loader without batches, or a folder in which another run is; DataError for a checkpoint that is damaged;
    SettingError for a count below 1.
    """
    whole("fit", least=0, epochs=epochs)
    for name, value in (("save_every", save_every), ("log_every", log_every)):
        if value is not None and value < 1:
            raise SettingError(f"[fit] {name} counts steps, from 1 on, got {value}")
    if save_minutes is not None and not (isinstance(save_minutes, Real) and save_minutes > 0):
        raise SettingError(f"[fit] save_minutes must be a number greater than 0, or None, got {save_minutes!r}")
    watcher = watch or Progress(title, epochs, len(loader) if hasattr(loader, "__len__") else None)
    ended = stop or (lambda: False)
    home = None if folder is None else Path(folder)
    with _Run(step, loader, home, config, title, watcher, signals=home is not None and stop is None) as run:
        while run.at.epoch < epochs:
            if ended():
                return run.stopped()
            for metrics in run.batches():
                run.take(metrics)
                if log_every and run.at.steps % log_every == 0:
                    run.log()
                if (save_every and run.at.steps % save_every == 0) or run.due(save_minutes):
                    run.save()
                run.stop_if_interrupted()
                if ended():
                    return run.stopped()
            run.end_epoch(evaluate, on_epoch)
            if save_every is None or run.at.epoch == epochs:
                run.save()
            run.stop_if_interrupted()
        if watch is None:
            run.plot()
    return History(run.at.rows)


class _Run:
    """A run in progress, alone in its folder: what `fit` does, one method for each thing."""

    def __init__(
        self, step: Any, loader: Any, folder: Path | None, config: Any, title: str, watcher: Watcher, signals: bool
    ) -> None:
        self.step, self.loader, self.folder, self.config, self.title = step, loader, folder, config, title
        batches = len(loader) if hasattr(loader, "__len__") else None
        self.at = RunState(batches=batches)
        self.keyed = getattr(loader, "seed", None) is not None and hasattr(loader, "load_state_dict")
        self.waiting: Iterator[Any] | None = None  # the batches that remain of an epoch that goes on
        self.progress, self.interrupts, self.signals = watcher, Interrupts(), signals
        self.saved = time.monotonic()

    def __enter__(self) -> _Run:
        with ExitStack() as entered:
            if self.folder is not None:
                _made(self.folder)
                entered.enter_context(locked(self.folder))
                if self.signals:
                    entered.enter_context(self.interrupts)
                self.at.loader = self._loader_state()
                contents(self.step, self.at, self.config)  # what cannot be saved is said before anything is trained
                self.resume(self.folder)
            entered.enter_context(self.progress)
            self.entered = entered.pop_all()
        return self

    def __exit__(self, *exception: Any) -> None:
        self.entered.__exit__(*exception)

    def resume(self, folder: Path) -> None:
        """Go on from the checkpoint in the folder, if there is one."""
        for name in (CHECKPOINT, "log.csv", "loss.svg"):
            for left in folder.glob(f"{name}*.part"):  # of a process that was killed while it wrote
                left.unlink(missing_ok=True)
        if not (folder / CHECKPOINT).exists():
            return
        batches, self.at = self.at.batches, load_run(folder / CHECKPOINT, self.step, self.config)
        if batches != self.at.batches:
            raise NeedleError(
                f"[fit] {folder / CHECKPOINT} was made with a loader of {self.at.batches} batches, "
                f"this one has {batches}"
            )
        if self.keyed:
            self.loader.load_state_dict((self.at.loader or {}) | self._place())
        if self.at.position:
            self.waiting = self._skip()
            self.progress.before = spent(folder, self.at.epoch + 1, self.at.position)
        numpy.random.set_state(self.at.random)
        History(self.at.rows).write_csv(folder / "log.csv")  # rows after the checkpoint are made again
        self.progress.resumed(self.at.epoch, self.at.position)

    def _skip(self) -> Iterator[Any]:
        """The batches of the epoch from `position` on. A loader that draws from numpy's generator is replayed."""
        if self.keyed:
            found: Iterator[Any] = iter(self.loader)
            return found
        numpy.random.set_state(self.at.epoch_random)
        if hasattr(self.loader, "set_epoch"):
            self.loader.set_epoch(self.at.epoch)
        batches: Iterator[Any] = iter(self.loader)
        for _ in range(self.at.position):
            next(batches, None)
        return batches

    def _place(self) -> dict[str, int]:
        """Of the run: the loader's own is that of its newest pass, which may be another's."""
        return {"epoch": self.at.epoch, "position": self.at.position}

    def _loader_state(self) -> dict[str, Any] | None:
        return self.loader.state_dict() | self._place() if self.keyed else None

    def batches(self) -> Iterator[Row]:
        """Step over what remains of the epoch; the metrics of each step."""
        if hasattr(self.step, "train"):
            self.step.train()
        if self.waiting is None:
            self.at.epoch_random = numpy.random.get_state()
            if hasattr(self.loader, "set_epoch"):
                self.loader.set_epoch(self.at.epoch)
        batches = iter(self.loader) if self.waiting is None else self.waiting
        self.waiting = None
        self.progress.start(self.at.position)
        while (batch := next(batches, None)) is not None:  # not `for`, which asks for an iterator anew
            yield self.step(*batch) if isinstance(batch, tuple | list) else self.step(batch)
        if self.at.position == 0:
            raise NeedleError(f"[fit] no batches in epoch {self.at.epoch + 1}: can the loader be iterated again?")

    def take(self, metrics: Row) -> None:
        """Count a step. Raises NeedleError when a loss is not finite, or the metrics are no numbers by name."""
        at = self.at
        at.position, at.steps = at.position + 1, at.steps + 1
        if not isinstance(metrics, dict) or not all(isinstance(value, Real) for value in metrics.values()):
            raise NeedleError(f"[fit] a step must return numbers by name, as {{'loss': 0.5}}, got {metrics!r:.100}")
        for name, value in metrics.items():
            if "loss" in name and not math.isfinite(value):
                raise NeedleError(
                    f"[fit] the {name} is {value} at step {at.steps} (epoch {at.epoch + 1}, batch {at.position}): "
                    "are the inputs finite? Else try a smaller learning rate, a longer warm-up or clip_norm"
                )
            total = at.sums.setdefault(name, [0.0, 0])
            at.sums[name] = [total[0] + float(value), total[1] + 1]
        self.progress.batch(at.epoch, at.position, metrics)

    def log(self, extra: Row | None = None) -> None:
        """A row of the log: the means since the last one, and `extra`, which joins the last row if that is of now."""
        at = self.at
        if at.sums or not at.rows or at.rows[-1]["step"] != at.steps:
            means = {name: total / count for name, (total, count) in at.sums.items()}
            at.rows.append({"epoch": at.epoch + 1, "step": at.steps} | means)
            at.sums = {}
        row = at.rows[-1]
        row |= {f"val_{name}" if name in row else name: float(value) for name, value in (extra or {}).items()}
        if self.folder is not None:
            History(at.rows).write_csv(self.folder / "log.csv")

    def end_epoch(self, evaluate: Callable[[], Row] | None, on_epoch: Callable[[int], object] | None) -> None:
        """Evaluate, log, and turn to the next epoch."""
        if hasattr(self.step, "eval"):
            self.step.eval()
        random = numpy.random.get_state()
        self.log(evaluate() if evaluate else None)
        if on_epoch:
            on_epoch(self.at.epoch + 1)
        numpy.random.set_state(random)
        self.progress.epoch(self.at.epoch, self.at.rows[-1])
        self.note_time()
        self.at.epoch, self.at.position, self.progress.before = self.at.epoch + 1, 0, 0.0

    def save(self) -> None:
        """Write the checkpoint."""
        if self.folder is not None:
            self.at.random = numpy.random.get_state()
            self.at.loader = self._loader_state()
            if self.at.position:
                self.note_time()  # for who goes on from this checkpoint
            else:
                self.at.epoch_random = None
            save_run(self.folder / CHECKPOINT, self.step, self.at, self.config)
            self.saved = time.monotonic()
            self.progress.saved(self.folder / CHECKPOINT, self.at.steps)

    def note_time(self) -> None:
        """Note what the epoch has taken so far."""
        if self.folder is not None:
            note_time(self.folder, self.at.epoch + 1, self.progress.seconds, self.at.position)

    def stopped(self) -> History:
        """Save, for a run that is told to stop; the log so far."""
        self.save()
        return History(self.at.rows)

    def due(self, minutes: float | None) -> bool:
        """Whether the last checkpoint, or the beginning, is that long ago."""
        return minutes is not None and self.folder is not None and time.monotonic() - self.saved >= 60 * minutes

    def stop_if_interrupted(self) -> None:
        """Save and end the program if a signal says so."""
        if self.interrupts.caught is not None and self.folder is not None:
            self.save()
            at = self.at
            place = f"in epoch {at.epoch + 1} after batch {at.position}" if at.position else f"after epoch {at.epoch}"
            self.progress.end_line()
            self.interrupts.end(
                f"[fit] ended by {self.interrupts.caught.name} {place}, saved in {self.folder / CHECKPOINT}: "
                "start the same program again to go on from there"
            )

    def plot(self) -> None:
        """Draw the losses, or say what is missing for it."""
        if self.folder is not None and self.at.rows:
            try:
                History(self.at.rows).plot(self.folder / "loss.svg", self.title)
            except NeedleError as error:
                self.progress.line(str(error))


def _made(folder: Path) -> None:
    """Make the folder unless it is there. Raises DataError where it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"[fit] {folder} cannot be the run's folder: {error.strerror}") from None
