"""The part of the server's first process that sees to the one that trains: started when a job waits, replaced when it
was killed, told to end with the server, and of so little weight that who answers requests goes before it.
"""

import json
import logging
import os
import secrets
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from gunicorn.arbiter import Arbiter

from serving.engine.database import DATABASE
from serving.engine.errors import ServingError
from serving.engine.limits import Limits
from serving.engine.tuning.leases import Leases
from serving.engine.tuning.store import Store
from serving.trainer import NICEST

log = logging.getLogger("serving")

PATIENCE = 30.0  # seconds for a step to end, and a checkpoint to be written, when the server ends


class Supervisor:
    """One process that trains at a time, for the jobs in a store. `look` is to be called every now and then.

    `form` is that of its log.
    """

    def __init__(
        self, store: Store, limits: Limits, plugins: Sequence[str] = (), niceness: int = NICEST, form: str = "text"
    ):
        self.store, self.limits, self.plugins, self.niceness, self.form = store, limits, plugins, niceness, form
        self.leases = Leases(store)
        self.process: subprocess.Popen[bytes] | None = None
        self.holder = ""

    def look(self) -> None:
        """Start the process if a job waits for it; what one that has ended still holds is free at once."""
        if not self.store.exists or (self.process is not None and self.process.poll() is None):
            return
        try:
            if self.process is not None:
                self.leases.release(self.holder)
                self.process = None
            if self.leases.waiting():
                self._start()
        except ServingError as problem:  # it may pass; the server goes on
            log.warning("no process that trains was started: %s", problem)
        finally:
            self.store.database.close()  # workers are forked from this process

    def _start(self) -> None:
        self.holder = f"trainer-{secrets.token_hex(8)}"
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        plugins = [*map(os.path.abspath, self.plugins), *filter(None, [os.environ.get("NEEDLE_PLUGINS")])]
        place = self.store.database.place
        environment = {
            "NEEDLE_NUM_THREADS": str(max(1, cores // 2)), "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            **os.environ, "NEEDLE_PLUGINS": os.pathsep.join(plugins),
            DATABASE: place if isinstance(place, str) else "",  # others can read arguments, and it may hold a password
        }  # fmt: skip
        command = [sys.executable, "-m", "serving.trainer", str(self.store.home.resolve()), self.holder]
        command += [str(self.niceness), self.form, json.dumps(asdict(self.limits))]
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)

    def end(self) -> None:
        """Let the process end after its step, and wait for it."""
        process, self.process = self.process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Master(Arbiter):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's first process, which looks after `app.supervisor` too, each time that it looks after its workers."""

    def manage_workers(self) -> None:
        super().manage_workers()
        self.app.supervisor.look()

    def halt(self, reason: Any = None, exit_status: int = 0) -> None:
        if self.app.supervisor.process is not None:
            with suppress(ProcessLookupError):
                self.app.supervisor.process.terminate()  # its last step is made while workers answer
        super().halt(reason, exit_status)
