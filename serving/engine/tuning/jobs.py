"""Fine-tuning jobs as their owners see them: made, listed, cancelled, paused, resumed; their events and checkpoints.

The status says what is to be done, and whoever trains looks at it all the time: to cancel or to pause a job is to write
that into its row. A job that is paused has the status `queued`, as the OpenAI API has no word for it.
"""

import json
import time
from collections.abc import Mapping
from typing import Any

from serving.engine.errors import Busy, Missing, Reused, ServingError
from serving.engine.tuning.asked import JobRequest
from serving.engine.tuning.store import Page, Store, made_up

LIVE = ("validating_files", "queued", "running")
STATUSES = (*LIVE, "succeeded", "failed", "cancelled")
ALIVE = "status IN ('validating_files', 'queued', 'running')"
MOST_LIVE = 100  # jobs of one owner that wait or run
ORGANIZATION = "org-local"


class Jobs:
    """The jobs in a store. What is not its `owner`'s is not there."""

    def __init__(self, store: Store):
        self.store, self.database = store, store.database

    def create(
        self, owner: str, request: JobRequest, base: str, weights: str | None, repeat_key: str | None = None
    ) -> dict[str, Any]:
        """A new job for the model `base` of the zoo with the weights in a file; its row.

        A `repeat_key` that came with the same request before gives the job that was made then. Raises Reused where it
        came with another one, Busy where an owner has too many jobs.
        """
        with self.database.transaction():
            before = self.database.rows(
                "SELECT * FROM jobs WHERE owner = ? AND repeat_key = ?", owner, repeat_key
            ) if repeat_key else []  # fmt: skip
            if before:
                if before[0]["repeat_body"] != request.digest:
                    raise Reused("[request] this Idempotency-Key came with another request before: take a new one")
                return before[0]
            self._check_room(owner)
            id = made_up("ftjob-")
            metadata = None if request.metadata is None else json.dumps(request.metadata)
            fields = {
                "id": id, "owner": owner, "status": LIVE[0], "model": request.model, "base": base, "weights": weights,
                "training_file": request.training_file, "validation_file": request.validation_file,
                "suffix": request.suffix, "seed": request.seed, "settings": json.dumps(request.settings),
                "metadata": metadata, "created": int(time.time()), "repeat_key": repeat_key,
                "repeat_body": request.digest,
            }  # fmt: skip
            places = ", ".join("?" * len(fields))
            self.database.execute(f"INSERT INTO jobs ({', '.join(fields)}) VALUES ({places})", *fields.values())
            self.tell(id, f"Created fine-tuning job: {id}")
            self.tell(id, f"Validating training file: {request.training_file}")
            return self.get(owner, id)

    def _check_room(self, owner: str) -> None:
        (count,) = self.database.execute(f"SELECT count(*) FROM jobs WHERE owner = ? AND {ALIVE}", owner).fetchone()
        if count >= MOST_LIVE:
            raise Busy(f"[queue] {MOST_LIVE} jobs of this key wait or run, which is the most; cancel one")

    def get(self, owner: str, id: str) -> dict[str, Any]:
        """The row of a job. Raises Missing."""
        found = self.database.rows("SELECT * FROM jobs WHERE owner = ? AND id = ?", owner, id)
        if not found:
            raise Missing(f"[fine_tuning_job_id] there is no job {id!r:.80}")
        return found[0]

    def list(
        self, owner: str, after: str | None, limit: int, metadata: Mapping[str, str] | None = None, none: bool = False
    ) -> Page:
        """A page of jobs, the newest first: those with such metadata, those with `none`, or all."""
        has = f"EXISTS (SELECT 1 FROM {self.database.pairs('jobs.metadata')} WHERE key = ? AND value = ?)"
        given = metadata or {}
        more = " AND ".join([has] * len(given) + ["metadata IS NULL"] * none)
        values = tuple(word for pair in given.items() for word in pair)
        return self.store.page("jobs", {"owner": owner}, after, limit, more=more, values=values)

    def events(self, owner: str, id: str, after: str | None, limit: int) -> Page:
        """A page of what happened to a job, the newest first."""
        self.get(owner, id)
        return self.store.page("events", {"job": id}, after, limit)

    def checkpoints(self, owner: str, id: str, after: str | None, limit: int) -> Page:
        """A page of what a job had learned on its way, the newest first."""
        self.get(owner, id)
        return self.store.page("checkpoints", {"job": id}, after, limit)

    def cancel(self, owner: str, id: str) -> dict[str, Any]:
        """End a job; what it has written stays. Raises Missing, and ServingError for one that has ended."""
        return self._turn(owner, id, "status = 'cancelled', finished = :now, estimated_finish = NULL", "TRUE",
                          "cancelled", "The job was cancelled")  # fmt: skip

    def pause(self, owner: str, id: str) -> dict[str, Any]:
        """Let a job wait, from its next step on, until it is resumed. Raises as `cancel` does."""
        return self._turn(owner, id, "status = 'queued', paused = 1, estimated_finish = NULL", "paused = 0", "paused",
                          "The job was paused")  # fmt: skip

    def resume(self, owner: str, id: str) -> dict[str, Any]:
        """Let a paused job go on. Raises as `cancel` does, and for one that is not paused."""
        return self._turn(owner, id, "paused = 0", "paused = 1", "resumed", "The job was resumed")

    def _turn(self, owner: str, id: str, change: str, where: str, word: str, message: str) -> dict[str, Any]:
        with self.database.transaction():
            before = self.get(owner, id)
            changed = self.database.execute(
                f"UPDATE jobs SET {change} WHERE id = :id AND {ALIVE} AND {where}", {"id": id, "now": int(time.time())}
            ).rowcount
            if not changed:
                state = "paused" if before["paused"] and before["status"] in LIVE else before["status"]
                raise ServingError(f"[fine_tuning_job_id] a job that is {state} cannot be {word}")
            self.tell(id, message)
            return self.get(owner, id)

    def tell(
        self, id: str, message: str, level: str = "info", data: Mapping[str, Any] | None = None, step: int | None = None
    ) -> None:
        """Write down what happened; of a `step`, which is metrics, once, however often it is made."""
        kind = "message" if data is None else "metrics"
        self.database.execute(
            "INSERT INTO events (id, job, created, level, message, type, data, step) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            made_up("ftevent-"), id, int(time.time()), level, message, kind, json.dumps(data or {}), step,
        )  # fmt: skip

    def counts(self) -> dict[str, int]:
        """How many jobs there are of each status."""
        found = dict(self.database.execute("SELECT status, count(*) FROM jobs GROUP BY status").fetchall())
        return {status: found.get(status, 0) for status in STATUSES}
