"""Working on the jobs that wait, one after the other."""

import logging
import os
import resource
import signal
from contextlib import suppress
from pathlib import Path

from needle.commands.plugins import load_plugins
from serving.engine.database import DATABASE
from serving.engine.limits import MIB, Limits
from serving.engine.tuning.files import Files
from serving.engine.tuning.leases import Leases
from serving.engine.tuning.store import Store
from serving.engine.tuning.work import Work

BESIDE = 1024 * MIB  # bytes for Python, the libraries and the data, beside what a job is estimated to take

log = logging.getLogger("serving")


def work_on_jobs(home: str, holder: str, limits: Limits) -> None:
    """Work on the jobs in a folder until none waits, this process is told to end, or its parent has."""
    parent = os.getppid()
    told: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: told.append(number))
    with suppress(ValueError, OSError):  # a limit below this is there already
        most = limits.training + BESIDE
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    load_plugins()
    store = Store(Path(home), os.environ.get(DATABASE) or None)
    leases, files = Leases(store), Files(store, limits)

    def stops() -> bool:
        return bool(told) or os.getppid() != parent

    while not stops():
        row = leases.claim(holder)
        if row is None:
            return
        log.info("[%s] %s learns from %s", row["id"], row["model"], row["training_file"])
        Work(row, holder, files, stops).do()
        log.info("[%s] %s", row["id"], leases.jobs.get(row["owner"], row["id"])["status"])
