"""Which models a running server has: one row each in an SQLite file that all its workers read and write.

A row's `generation` changes whenever a worker has to look at the model again: it was loaded (again), unloaded, or has
got other weights. `version` is what clients see; a load that finds other content than before gives a new one.
"""

import mmap
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from serving.engine.errors import Busy, NotFound
from serving.engine.sources import Source

CAPACITY = 256  # models that a server can have, loaded or not
FRESH = 1.0  # seconds for which rows are used without asking the file, where no worker has said that they changed

SCHEMA = """
CREATE TABLE IF NOT EXISTS models (
    name TEXT PRIMARY KEY, path TEXT, engine TEXT NOT NULL, version INTEGER NOT NULL, digest TEXT NOT NULL,
    place INTEGER NOT NULL UNIQUE, wanted INTEGER NOT NULL, generation INTEGER NOT NULL, created INTEGER NOT NULL
) STRICT
"""


@dataclass(frozen=True)
class Row:
    """A model that the server knows: where it comes from, whether it is wanted, and the place of its counters."""

    source: Source
    place: int
    wanted: bool
    generation: int
    created: int  # seconds since 1970


def connect(path: Path) -> sqlite3.Connection:
    """A connection that any thread may use, one at a time; others may read while it writes."""
    found = sqlite3.connect(path, timeout=10.0, isolation_level=None, check_same_thread=False)
    found.execute("PRAGMA journal_mode = WAL")
    found.execute("PRAGMA synchronous = NORMAL")
    return found


class Registry:
    """The rows of the file at `path`. Create it before the workers are forked: each opens the file for itself."""

    def __init__(self, path: Path):
        self.path = path
        self._changes = np.frombuffer(mmap.mmap(-1, 8), np.int64)  # a hint to read again, shared by all workers
        self._connection: sqlite3.Connection | None = None
        self._forget()
        with closing(connect(path)) as connection:
            connection.execute(SCHEMA)
        os.register_at_fork(after_in_child=self._forget)

    def close(self) -> None:
        """Close this process's connection, as is to be done before a fork; it is opened again when it is needed."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def _forget(self) -> None:
        """A child opens the file for itself."""
        self._lock = threading.RLock()
        self._connection = None
        self._rows: dict[str, Row] = {}
        self._seen, self._read_at = -1, 0.0

    def rows(self) -> Mapping[str, Row]:
        """Every model by its name, in the order in which they were added."""
        changes, now = int(self._changes[0]), time.monotonic()
        if changes != self._seen or now - self._read_at > FRESH:
            with self._lock:
                found = self._execute("SELECT * FROM models ORDER BY rowid").fetchall()
                self._rows = {row[0]: _row(*row) for row in found}
                self._seen, self._read_at = changes, now
        return self._rows

    def add(self, source: Source, wanted: bool = True, update: bool = True) -> bool:
        """Register a model, or with `update` other content of one that is known; whether that changes anything.

        A source without a version of its own gets the next one when its content is another. Raises Busy beyond
        CAPACITY.
        """
        if not update and source.name in self.rows():
            return False
        with self._transaction():
            return self._add(source, wanted)

    def _add(self, source: Source, wanted: bool) -> bool:
        found = self._execute("SELECT * FROM models WHERE name = ?", source.name).fetchone()
        if found is None:
            taken = {place for (place,) in self._execute("SELECT place FROM models")}
            place = next((place for place in range(CAPACITY) if place not in taken), None)
            if place is None:
                raise Busy(f"[models] the server has {CAPACITY} models, which is the most; delete one")
            name, path, engine, version, digest = source
            values = (name, _text(path), engine, version or 1, digest, place, wanted, time.time_ns(), int(time.time()))
            self._execute(f"INSERT INTO models VALUES ({', '.join('?' * len(values))})", *values)
            return True
        before = _row(*found)
        if source.digest == before.source.digest and source.version in (0, before.source.version):
            return False
        version = source.version or before.source.version + 1
        self._execute(
            "UPDATE models SET path = ?, version = ?, digest = ?, generation = ? WHERE name = ?",
            _text(source.path), version, source.digest, time.time_ns(), source.name,
        )  # fmt: skip
        return True

    def want(self, name: str, wanted: bool, engine: str | None = None, source: Source | None = None) -> Row:
        """Let every worker load a model (again), or unload it; by another engine, or from a source, if given.

        Raises NotFound.
        """
        with self._transaction():
            if source is not None:
                self._add(source, wanted)
            self._execute(
                "UPDATE models SET wanted = ?, generation = ?, engine = coalesce(?, engine) WHERE name = ?",
                wanted, time.time_ns(), engine, name,
            )  # fmt: skip
        if name not in self.rows():
            raise NotFound(f"[models] there is no model {name[:80]!r}; there are {', '.join(self.rows())}")
        return self.rows()[name]

    def remove(self, name: str) -> Row | None:
        """Forget a model; its row, None if there was none."""
        before = self.rows().get(name)
        with self._transaction():
            self._execute("DELETE FROM models WHERE name = ?", name)
        return before

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All that happens inside at once, or nothing; then every worker looks again."""
        with self._lock:
            self._execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._execute("ROLLBACK")
                raise
            self._execute("COMMIT")
            self._changes[0] += 1

    def _execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        with self._lock:
            if self._connection is None:
                self._connection = connect(self.path)
            return self._connection.execute(statement, values)


def _row(
    name: str, path: str | None, engine: str, version: int, digest: str, place: int, wanted: int, generation: int,
    created: int,
) -> Row:  # fmt: skip
    source = Source(name, Path(path) if path else None, engine, version, digest)
    return Row(source, place, bool(wanted), generation, created)


def _text(path: Path | None) -> str | None:
    return str(path) if path else None
