"""Jobs as those see them who train: claimed by one at a time, kept by a lease, and ended once.

A lease is renewed while its holder lives. One that has run out is anybody's: its holder was killed, or its machine was.
Whoever finds that a job is no longer its own stops, and writes nothing more.
"""

import json
import time
from collections.abc import Mapping
from typing import Any

from serving.engine.tuning.archive import discard
from serving.engine.tuning.jobs import ALIVE, Jobs
from serving.engine.tuning.store import Store, made_up

LEASE = 10.0  # seconds
MOST_ATTEMPTS = 5  # at a job by processes that end, without a word, before they have come to another checkpoint
FREE = f"{ALIVE} AND paused = 0 AND (holder IS NULL OR lease < :now)"
MINE = f"id = :id AND holder = :holder AND {ALIVE} AND paused = 0"
# Jobs that had begun come first, then owners take turns: next is the one who has waited longest since the last claim.
CLAIM = f"""
UPDATE jobs SET holder = :holder, lease = :until, claimed = :now, attempts = attempts + 1 WHERE id = (
    SELECT id FROM jobs AS waiting WHERE {FREE} ORDER BY
        claimed = 0, (SELECT max(claimed) FROM jobs AS others WHERE others.owner = waiting.owner), place
    LIMIT 1
) RETURNING *
"""


class Leases:
    """The jobs in a store that wait for somebody to work on them."""

    def __init__(self, store: Store):
        self.store, self.database, self.jobs = store, store.database, Jobs(store)

    def waiting(self) -> bool:
        """Whether there is a job to claim."""
        given = {"now": time.time()}
        return bool(self.database.execute(f"SELECT EXISTS (SELECT 1 FROM jobs WHERE {FREE})", given).fetchone()[0])

    def claim(self, holder: str) -> dict[str, Any] | None:
        """A job that nobody works on is now the holder's; None where there is none."""
        now = time.time()
        with self.database.transaction():
            found = self.database.rows(CLAIM, {"holder": holder, "now": now, "until": now + LEASE})
        return found[0] if found else None

    def renew(self, id: str, holder: str, status: str, finish: int | None = None) -> bool:
        """Go on holding a job, whose status is this; False where it is no longer the holder's to work on."""
        given = {"id": id, "holder": holder, "until": time.time() + LEASE, "status": status, "finish": finish}
        changes = "lease = :until, status = :status, estimated_finish = :finish"
        return self.database.execute(f"UPDATE jobs SET {changes} WHERE {MINE}", given).rowcount == 1

    def progressed(self, id: str, holder: str) -> None:
        """Note that a job has come further: what has failed before does not count any more."""
        self.database.execute("UPDATE jobs SET attempts = 0 WHERE id = ? AND holder = ?", id, holder)

    def release(self, holder: str, is_told: bool = False) -> None:
        """Let go of what a holder has, as it has ended; `is_told` where it has stopped by itself."""
        attempts = ", attempts = 0" if is_told else ""
        status = "status = CASE WHEN status = 'running' THEN 'queued' ELSE status END"
        self.database.execute(f"UPDATE jobs SET holder = NULL, lease = 0, {status}{attempts} WHERE holder = ?", holder)

    def sweep(self) -> None:
        """Delete what jobs that have ended have worked with, unless somebody is about to find out that one has."""
        given = {"now": time.time()}
        statement = f"SELECT id FROM jobs WHERE id = :id AND NOT ({ALIVE}) AND (holder IS NULL OR lease < :now)"
        for folder in (self.store.home / "jobs").iterdir():
            if self.database.execute(statement, given | {"id": folder.name}).fetchone():
                discard(folder)

    def checkpoint(self, id: str, step: int, model: str, metrics: Mapping[str, Any]) -> bool:
        """Write down what a job has learned at a step; whether that is new."""
        return self.database.execute(
            "INSERT INTO checkpoints (id, job, created, step, model, metrics) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT DO NOTHING",
            made_up("ftckpt_"), id, int(time.time()), step, model, json.dumps(metrics),
        ).rowcount == 1  # fmt: skip

    def succeed(self, id: str, holder: str, model: str, files: list[str], tokens: int) -> bool:
        """End a job with a model and files; False where it was cancelled or paused before."""
        given = {
            "id": id, "holder": holder, "now": int(time.time()), "model": model, "files": json.dumps(files),
            "tokens": tokens,
        }  # fmt: skip
        changes = (
            "status = 'succeeded', finished = :now, fine_tuned_model = :model, result_files = :files, "
            "trained_tokens = :tokens, estimated_finish = NULL, holder = NULL"
        )
        return self.database.execute(f"UPDATE jobs SET {changes} WHERE {MINE}", given).rowcount == 1

    def fail(self, id: str, holder: str, code: str, message: str, param: str | None = None) -> None:
        """End a job with an error, unless it was cancelled or paused before."""
        error = json.dumps({"code": code, "message": message, "param": param})
        given = {"id": id, "holder": holder, "now": int(time.time()), "error": error}
        changes = "status = 'failed', finished = :now, error = :error, estimated_finish = NULL, holder = NULL"
        with self.database.transaction():
            if self.database.execute(f"UPDATE jobs SET {changes} WHERE {MINE}", given).rowcount:
                self.jobs.tell(id, f"The job failed: {message}", "error")
