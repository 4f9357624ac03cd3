"""A fine-tuning run: planned, trained, measured and written down in a folder, from which it goes on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy

from needle.training import Watcher, fit
from needle.training.history import History, Row
from needle.training.lock import locked
from needle.weights import atomic_write

from ..curves import svg
from ..registry import generator_kept
from ..runs import Run, write_json
from .config import AUTO, Config
from .estimate import Estimate, estimated
from .folder import CONFIG, PLAN, check_folder, make_folder
from .outcome import write_outcome
from .prepare import prepared, read_json
from .probe import RUNGS, Rates, chosen, probe, steps_of
from .records import Report, Result
from .rounds import Rounds
from .step import ACCURACY, Best, FineTuning
from .task import Task

RESULT, CURVES, KEPT = "result.json", "loss.svg", "steps"


def estimate(config: Config) -> Estimate:
    """What a run of this config will take, without running it: two of its steps are made and timed.

    Raises what `Job.run` raises for a base or data that cannot be used.
    """
    with generator_kept():
        task = prepared(config)
        return estimated(task, _probe_steps(task))


@dataclass(frozen=True)
class Plan:
    """What was measured before the first step: the rates tried, and what the base does."""

    rates: Rates
    learning_rate: float
    before: dict[str, float]
    shown: dict[str, Any]

    @classmethod
    def read(cls, path: Path, data_sha256: str) -> Plan | None:
        """The plan in a run's folder; None where there is none for these data, or it is damaged: it is made again."""
        there = read_json(path)
        try:
            if there.pop("data_sha256") == data_sha256:
                return cls(rates=tuple((rate, loss) for rate, loss in there.pop("rates")), **there)
        except (AttributeError, KeyError, TypeError, ValueError):
            pass
        return None


class Job:
    """A run of `config` in `folder`: `run()` begins it, or goes on with it to the same bytes, and gives its Result.

    The folder then holds `config.json`, `plan.json` (what was measured before), `log.csv`, `loss.svg`, `times.csv`,
    `checkpoint.safetensors`, `result.json`, and what `zoo.load` takes: `adapter`, a folder in PEFT's format, or
    `model.safetensors`. With `keep`, what was learned at each measurement stays too, as `steps/STEP/adapter` or
    `steps/STEP/model.safetensors`. Nothing is printed; numpy's global generator stays as it was.
    """

    def __init__(self, config: Config, folder: str | os.PathLike[str], keep: bool = False) -> None:
        self.config, self.folder, self.keep = config, Path(folder), keep

    def run(
        self, stop: Callable[[], bool] = lambda: False, report: Callable[[Report], object] = lambda report: None
    ) -> Result | None:
        """Train to the end, or until `stop()`, which is asked after each step; None where that came before the first.

        `report` is called with what happens, in the order in which it does. A run that was stopped keeps the best that
        it had, and goes on from its checkpoint when it is run again, as one does that was killed. Raises ZooError for a
        base that cannot be fine-tuned, DataError for data that are malformed, NeedleError for a folder of another run,
        or one in which another process runs.
        """
        with generator_kept():
            check_folder(self.folder, self.config)
            task = prepared(self.config)
            make_folder(self.folder)
            with locked(self.folder):
                check_folder(self.folder, self.config, task.sha256())  # again: another run may have begun meanwhile
                write_json(self.folder / CONFIG, self.config.facts())
                plan = self._plan(task, stop, report)
                training = None if plan is None else _Training(self, task, plan, stop, report)
            return None if training is None else training.result()  # `fit` locks the folder itself

    def _plan(self, task: Task, stop: Callable[[], bool], report: Callable[[Report], object]) -> Plan | None:
        """What was measured before the first step, now or when the run began; None where it was told to stop."""
        config, total = self.config, task.steps()
        there = Plan.read(self.folder / PLAN, task.sha256())
        tries = there is None and not config.has_rate
        report(Report("begins", 0, total, estimate=estimated(task, _probe_steps(task)), tries_rates=tries))
        if there is not None:
            return there
        rates: Rates | None = () if config.has_rate else probe(task, stop)
        if rates is None or stop():
            return None
        rate = (float(config.learning_rate) if config.learning_rate != AUTO else chosen(rates)) * (
            config.learning_rate_multiplier
        )
        report(Report("probe", 0, total, learning_rate=rate, rates=rates))
        plan = Plan(rates, rate, task.evaluate(), task.show())
        write_json(self.folder / PLAN, asdict(plan) | {"data_sha256": task.sha256()})
        return plan


def _probe_steps(task: Task) -> int:
    return 0 if task.config.has_rate else RUNGS * steps_of(task.steps())


class _Training(Watcher):
    """The part of a run that `fit` does, and what is told of it."""

    def __init__(
        self, job: Job, task: Task, plan: Plan, stop: Callable[[], bool], report: Callable[[Report], object]
    ) -> None:
        config = job.config
        self.job, self.task, self.plan, self.stop, self.report = job, task, plan, stop, report
        self.rounds, self.each = task.rounds()
        self.total = task.steps()
        numpy.random.seed(config.seed)  # of dropout
        self.best = Best(task, plan.before["loss"]) if task.held else None
        self.step = FineTuning(task, plan.learning_rate, self.total, self.best)
        self.started, self.first = time.monotonic(), 0
        self.after: Row = dict(plan.before)

    def result(self) -> Result:
        """Train, and write down what came of it."""
        job, task = self.job, self.task
        facts = job.config.facts()
        history = fit(
            self.step, Rounds(task.loader(task.batch()), self.each), self.rounds, folder=job.folder, watch=self,
            config={"config": facts, "data": task.sha256()}, evaluate=self._measure, save_minutes=1,
            stop=lambda: self.stop() or self._settled(),
        )  # fmt: skip
        done = int(self.step.schedules[0].taken)
        stopped = done < self.total and not self._settled()
        if self.best is not None:
            if stopped and (last := task.evaluate())["loss"] < self.best.loss:
                self.after = last  # what was learned since the last measurement, which the checkpoint does not know
            else:
                self.best.give_back()
                self.after = task.evaluate()
        task.model.eval()
        found = self._written(done, stopped)
        self._draw(history)
        self.report(Report("ends", done, self.total, self.step.tokens, validation=self.after or None))
        return found

    def _written(self, done: int, stopped: bool) -> Result:
        """The adapter or weights, and the record of the run beside them."""
        plan, task = self.plan, self.task
        learned = done if self.best is None else self.best.step
        path, argument, sha256 = write_outcome(self.job.folder, task, self._card(learned, self.after))
        shown = {"before": plan.shown, "after": task.show()}
        found = Result(
            str(path),
            argument,
            sha256,
            done,
            self.step.tokens,
            plan.learning_rate,
            plan.before,
            self.after,
            shown,
            stopped,
        )
        write_json(self.job.folder / RESULT, asdict(found) | {"path": path.name})
        return found

    def _card(self, steps: int, after: Row) -> dict[str, Any]:
        """What lies beside the weights that so many steps have made."""
        config = self.job.config
        return {
            "base": config.base, **self.task.facts(), "method": config.method, "seed": config.seed,
            "data": Path(config.data).name, "steps": steps, "before": self.plan.before, "after": after,
        }  # fmt: skip

    def _draw(self, history: History) -> None:
        """The curves over the epochs; a row of the log is a round."""
        log: dict[str, list[float | None]] = {name: history[name] for name in history.columns}  # type: ignore[misc]
        passes = len(self.task.loader(self.task.batch()))
        log["epoch"] = [step / passes for step in history["step"]] if log else []
        curves = svg(self.job.config.base, [Run(0, "", "", {}, 0.0, "", log=log)])
        if curves:
            with atomic_write(self.job.folder / CURVES, durable=False) as file:
                file.write(curves.encode())

    def _measure(self) -> Row:
        found = self.task.evaluate()
        if self.best is not None:
            self.best.offer(found["loss"], int(self.step.schedules[0].taken))
        return found

    def _settled(self) -> bool:
        """Whether the loss has not become lower for long enough."""
        return self.best is not None and self.best.stale >= self.job.config.patience

    def _told(self, event: str, step: int, **facts: Any) -> None:
        made = step - self.first
        left = (self.total - step) * (time.monotonic() - self.started) / made if made > 0 else None
        self.report(Report(event, step, self.total, self.step.tokens, seconds_left=left, **facts))

    def resumed(self, epoch: int, position: int) -> None:
        self.first, self.started = epoch * self.each + position, time.monotonic()

    def batch(self, epoch: int, position: int, metrics: Row) -> None:
        self._told("step", epoch * self.each + position, **_of(metrics), learning_rate=metrics["lr"])

    def epoch(self, epoch: int, row: Row) -> None:
        names = {"val_loss": "loss"} | {name: name for name in self.plan.before if name != "loss"}
        found = {ours: row[name] for name, ours in names.items() if name in row}
        step = (epoch + 1) * self.each
        if found:
            self._told("validation", step, **_of(row), validation=found)
        if self.job.keep:
            path, _, _ = write_outcome(self.job.folder / KEPT / str(step), self.task, self._card(step, found))
            self._told("kept", step, **_of(row), validation=found or None, checkpoint=str(path))

    def saved(self, path: Path, steps: int) -> None:
        self._told("checkpoint", steps, checkpoint=str(path))


def _of(row: Row) -> Row:
    """What a step, or some, say of what was learned from."""
    return {"loss": row["loss"], "accuracy": row[ACCURACY]}
