"""One job, from its row to a model: what was uploaded is prepared, `zoo.finetune.Job` runs, what it says is kept.

The folder of a job holds its data and the run, and nothing in it depends on where it lies: after `kill -9` whoever
claims the job goes on with the run to the same bytes.
"""

import csv
import io
import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from needle.errors import DataError, NeedleError
from needle.training.lock import locked
from serving.engine.database import DatabaseFailed
from serving.engine.errors import DiskFull, Missing
from serving.engine.limits import MIB, raise_with
from serving.engine.tuning import data
from serving.engine.tuning.archive import discard, pack_adapter
from serving.engine.tuning.files import RESULTS, Files
from serving.engine.tuning.leases import LEASE, MOST_ATTEMPTS, Leases
from serving.engine.tuning.models import CHECKPOINT, Models
from zoo.finetune import Config, Job, Report, Result
from zoo.runs import write_json

BEAT = LEASE / 20  # seconds between two looks at the row
SHOWN = 200  # steps of a run, at most, that are told as events
RUN, PLAN, BASE = "run", "data.json", "base.safetensors"
ACCURACY = ("token_accuracy", "accuracy")

log = logging.getLogger("serving")


class Work:
    """A job that `holder` has claimed. `stop()` says that the process is to end."""

    def __init__(self, row: dict[str, Any], holder: str, files: Files, stop: Callable[[], bool]):
        self.row, self.holder, self.files, self.limits = row, holder, files, files.limits
        self.id: str = row["id"]
        self.store = files.store
        self.leases, self.models = Leases(self.store), Models(self.store)
        self.jobs = self.leases.jobs
        self.folder = self.store.home / "jobs" / self.id
        self.is_told, self.is_lost, self.over = stop, False, threading.Event()
        self.has_begun = False  # the data were right
        self.is_given_back = False  # through no fault of the job
        self.status: str = row["status"]
        self.finish: int | None = None
        self.data: list[data.Prepared] = []

    def do(self) -> None:
        """Work on the job to its end, or until it is to stop; whatever happens, it is not held any more then."""
        beat = threading.Thread(target=self._beat, name="lease", daemon=True)
        beat.start()
        try:
            self._checked()
        finally:
            self.over.set()
            beat.join()
            self.leases.release(self.holder, is_told=self._stops() or self.is_given_back)
            self.leases.sweep()

    def _beat(self) -> None:
        """Renew the lease; what was asked for meanwhile stops the run at its next step."""
        renewed = time.monotonic()
        while not self.over.wait(BEAT) and not self.is_lost:
            try:
                self.is_lost = not self.leases.renew(self.id, self.holder, self.status, self.finish)
                renewed = time.monotonic()
            except (DiskFull, DatabaseFailed) as problem:  # it may pass, while the lease lasts
                log.warning("[%s] the lease was not renewed: %s", self.id, problem)
                self.is_lost = time.monotonic() - renewed > LEASE

    def _stops(self) -> bool:
        return self.is_lost or self.is_told()

    def _checked(self) -> None:
        """Every way in which it can go wrong, as the job's error."""
        if self.row["attempts"] > MOST_ATTEMPTS:
            times = f"{MOST_ATTEMPTS} processes that worked on it ended, one after the other"
            self._fail("server_error", f"{times}; the server's log may say why, such as a lack of memory")
            return
        try:
            self.folder.mkdir(exist_ok=True, mode=0o700)
            with ExitStack() as stack:
                try:
                    stack.enter_context(locked(self.folder))
                except NeedleError as problem:  # of one whose lease ran out, and that is about to find out
                    log.info("[%s] %s", self.id, problem)
                    self.is_given_back = not self.over.wait(BEAT)
                    return
                os.chdir(self.folder)
                self._run()
        except DatabaseFailed as problem:
            log.warning("[%s] stops, to go on from its checkpoint: %s", self.id, problem)
            self.is_given_back = True
        except DiskFull as problem:
            self._fail("disk_full", str(problem))
        except (DataError, Missing) as problem:
            if self.has_begun or BASE in str(problem):
                self._fail("training_failed", str(problem))
            else:
                self._fail("invalid_training_file", self._told(problem), "training_file")
        except NeedleError as problem:
            self._fail("training_failed", str(problem))
        except MemoryError:
            self._fail("out_of_memory", f"training took too much memory; {raise_with('training', self.limits)}")
        except OSError as problem:
            self._fail("server_error", f"the job's folder cannot be used: {problem.strerror}")

    def _told(self, problem: NeedleError) -> str:
        """What is wrong with the data, in the words of who uploaded them."""
        message = str(problem).replace("[finetune] ", "")
        for each in self.data:
            message = each.told(message)
        return message

    def _fail(self, code: str, message: str, param: str | None = None) -> None:
        self.leases.fail(self.id, self.holder, code, message, param)

    def _run(self) -> None:
        config = self._config()
        if self.status != "running":
            self.status = "running"
            self.leases.renew(self.id, self.holder, self.status)
            self.jobs.tell(self.id, "Fine-tuning job started")
        result = Job(config, RUN, keep=True).run(stop=self._stops, report=self.tell)
        if result is None or result.stopped:
            at = result.steps if result else 0
            self.jobs.tell(self.id, f"Stopped after step {at}; what it has learned is kept")
        elif not self._stops():
            self._succeed(result)

    # -- before

    def _config(self) -> Config:
        """What is to be run, on data that are prepared now or were by another attempt. Raises DataError, Missing."""
        row, settings = self.row, json.loads(self.row["settings"])
        plan = Path(PLAN)
        if not plan.exists():
            self.data = [self._prepared(row["training_file"], "data")]
            if row["validation_file"]:
                self.data.append(self._prepared(row["validation_file"], "validation"))
            write_json(plan, {"names": [each.name for each in self.data]})
        names = json.loads(plan.read_text())["names"]
        if row["weights"]:
            with suppress(FileExistsError):
                Path(BASE).symlink_to(row["weights"])
        given, lora = settings["hyperparameters"], settings.get("lora", {})
        chosen = {
            "epochs": given["n_epochs"], "batch": given["batch_size"],
            "learning_rate": given.get("learning_rate", "auto"),
            "rank": lora.get("r"), "alpha": lora.get("alpha"), "dropout": lora.get("dropout"),
            "targets": lora.get("target_modules"), **settings.get("images", {}),
        }  # fmt: skip
        multiplier = given["learning_rate_multiplier"]
        return Config(
            row["base"], names[0], BASE if row["weights"] else None,
            validation_data=names[1] if len(names) > 1 else None, seed=row["seed"],
            learning_rate_multiplier=1.0 if multiplier == "auto" else multiplier,
            **{name: value for name, value in chosen.items() if value is not None},
        )  # fmt: skip

    def _prepared(self, id: str, stem: str) -> data.Prepared:
        row = self.files.get(self.row["owner"], id)
        return data.prepare(self.files.path(id), row["filename"], Path(), stem)

    # -- on the way

    def tell(self, report: Report) -> None:
        """Write down what the run reports."""
        match report.event:
            case "begins" if report.estimate is not None:
                self._begins(report)
            case "probe":
                self.jobs.tell(self.id, f"Learning rate: {report.learning_rate:g}")
            case "step":
                left = report.seconds_left
                self.finish = None if left is None else int(time.time() + left)
                if report.step % max(1, report.total // SHOWN) == 0:
                    self._metrics(report)
            case "kept":
                self._kept(report)
            case "checkpoint":
                self.leases.progressed(self.id, self.holder)

    def _begins(self, report: Report) -> None:
        size = report.estimate
        assert size is not None
        self.has_begun = True
        if size.bytes > self.limits.training:
            needed = f"training takes about {size.bytes // MIB} MiB of memory"
            raise NeedleError(f"{needed}; {raise_with('training', self.limits)}; or take a smaller batch_size")
        learned = f"{size.examples} examples, {size.held_out} held out, {report.total} steps of {size.batch}"
        self.jobs.tell(self.id, f"{learned}; {size.learning} of {size.parameters} parameters learn")
        if report.tries_rates:
            self.jobs.tell(self.id, "Trying learning rates in short runs, before the first step")

    def _metrics(self, report: Report) -> None:
        values = {"step": report.step, "total_steps": report.total, **_trained(report)}
        message = f"Step {report.step}/{report.total}: training loss={report.loss:.3g}"
        self.jobs.tell(self.id, message, data=values, step=report.step)

    def _kept(self, report: Report) -> None:
        """A checkpoint is a model of its own."""
        name = self.name + f"{CHECKPOINT}{report.step}"
        target = self.store.home / "models" / self.id / f"step-{report.step}"
        _copied(Path(str(report.checkpoint)), target)
        found = report.validation or {}
        accuracy = next((found[word] for word in ACCURACY if word in found), None)
        metrics = {"step": report.step, **_trained(report)}
        if found:
            metrics |= {"valid_loss": found["loss"], "valid_mean_token_accuracy": accuracy}
            metrics |= {f"full_{word}": metrics[word] for word in ("valid_loss", "valid_mean_token_accuracy")}
        self.models.add(self.row["owner"], name, self.row["model"], self.row["weights"], target)
        if self.leases.checkpoint(self.id, report.step, name, metrics):
            self.jobs.tell(self.id, f"Checkpoint created at step {report.step}: {name}")

    @property
    def name(self) -> str:
        """What the finished model is called."""
        return self.models.name(self.row["model"], self.row["suffix"], self.id)

    # -- afterwards

    def _succeed(self, result: Result) -> None:
        """Let the model be there, with the files that its owner may download, and the job have ended: all at once."""
        target = self.store.home / "models" / self.id / "final"
        _copied(Path(result.path), target)
        owner, word, digits = self.row["owner"], self.row["suffix"] or self.id, self.id.removeprefix("ftjob-")
        files = {f"{word}-results.csv": _results(Path(RUN) / "log.csv"), f"{word}-adapter.zip": pack_adapter(target)}
        made = [
            self.files.add(owner, name, content, RESULTS, id=f"file-{digits}{number}")["id"]
            for number, (name, content) in enumerate(files.items(), 1)
        ]
        with self.store.database.transaction():
            done = self.leases.succeed(self.id, self.holder, self.name, made, result.tokens)
            if done:
                self.models.add(owner, self.name, self.row["model"], self.row["weights"], target)
                self.jobs.tell(self.id, f"New fine-tuned model created: {self.name}")
                self.jobs.tell(self.id, "The job has successfully completed")
        for each in made if not done else ():
            self.files.delete(owner, each)


def _trained(report: Report) -> dict[str, Any]:
    """Of what was learned from, under the names of the OpenAI API."""
    return {"train_loss": report.loss, "train_mean_token_accuracy": report.accuracy}


def _copied(folder: Path, target: Path) -> None:
    """Copy a folder, whole or not at all; one that is there is the same."""
    beside = target.with_name(target.name + ".part")
    discard(beside)
    beside.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(folder, beside)
    with suppress(OSError):
        beside.rename(target)
    discard(beside)


def _results(log: Path) -> bytes:
    """The run's log with the columns that the OpenAI API's result files have; what is not measured is empty."""
    found = io.StringIO()
    out = csv.writer(found, lineterminator="\n")
    out.writerow(["step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy"])
    with log.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            accuracy = next((row[word] for word in ACCURACY if word in row), "")
            out.writerow([row["step"], row["loss"], row["train_accuracy"], row.get("val_loss", ""), accuracy])
    return found.getvalue().encode()
