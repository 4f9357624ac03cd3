"""Which models a running server has: one row each in an SQLite file that all its workers read and write.

A row's `generation` changes whenever a worker has to look at the model again: it was loaded (again), unloaded, or has
got other weights. `version` is what clients see; a load that finds other content than before gives a new one.
"""

import mmap
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from serving.engine.errors import Busy, NotFound
from serving.engine.sources import Source, is_tuned
from serving.engine.sqlite import SqliteDatabase

CAPACITY = 256  # models that a server can have, loaded or not
FRESH = 1.0  # seconds for which rows are used without asking the file, where no worker has said that they changed

SCHEMA = """
CREATE TABLE IF NOT EXISTS models (
    name TEXT PRIMARY KEY, path TEXT, engine TEXT NOT NULL, version INTEGER NOT NULL, digest TEXT NOT NULL,
    weights TEXT, place INTEGER NOT NULL UNIQUE, wanted INTEGER NOT NULL, generation INTEGER NOT NULL,
    created INTEGER NOT NULL
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


class Registry:
    """The rows of the file at `path`. Create it before the workers are forked."""

    def __init__(self, path: Path):
        self._file = SqliteDatabase(path, SCHEMA)
        self._changes = np.frombuffer(mmap.mmap(-1, 8), np.int64)  # a hint to read again, shared by all workers
        self._rows: dict[str, Row] = {}
        self._seen, self._read_at = -1, 0.0

    def close(self) -> None:
        """Close the file, as is to be done before a fork; it is opened again when it is needed."""
        self._file.close()

    def rows(self) -> Mapping[str, Row]:
        """Every model by its name, in the order in which they were added."""
        changes, now = int(self._changes[0]), time.monotonic()
        if changes != self._seen or now - self._read_at > FRESH:
            with self._file.lock:
                found = self._file.execute("SELECT * FROM models ORDER BY rowid").fetchall()
                self._rows = {row[0]: _row(*row) for row in found}
                self._seen, self._read_at = changes, now
        return self._rows

    def unknown(self, name: str) -> str:
        """That there is no such model, and which there are for everybody."""
        known = [known for known in self.rows() if not is_tuned(known)]
        return f"[models] there is no model {name[:80]!r}; there are {', '.join(known)}"

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
        found = self._file.execute("SELECT * FROM models WHERE name = ?", source.name).fetchone()
        if found is None:
            taken = {place for (place,) in self._file.execute("SELECT place FROM models")}
            place = next((place for place in range(CAPACITY) if place not in taken), None)
            if place is None:
                raise Busy(f"[models] the server has {CAPACITY} models, which is the most; delete one")
            name, path, engine, version, digest, weights = source
            about = (name, _text(path), engine, version or 1, digest, _text(weights))
            values = (*about, place, wanted, time.time_ns(), int(time.time()))
            self._file.execute(f"INSERT INTO models VALUES ({', '.join('?' * len(values))})", *values)
            return True
        before = _row(*found)
        if source.digest == before.source.digest and source.version in (0, before.source.version):
            return False
        version = source.version or before.source.version + 1
        self._file.execute(
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
            self._file.execute(
                "UPDATE models SET wanted = ?, generation = ?, engine = coalesce(?, engine) WHERE name = ?",
                wanted, time.time_ns(), engine, name,
            )  # fmt: skip
        if name not in self.rows():
            raise NotFound(self.unknown(name))
        return self.rows()[name]

    def remove(self, name: str) -> Row | None:
        """Forget a model; its row, None if there was none."""
        before = self.rows().get(name)
        with self._transaction():
            self._file.execute("DELETE FROM models WHERE name = ?", name)
        return before

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All that happens inside at once, or nothing; then every worker looks again."""
        with self._file.transaction():
            yield
        self._changes[0] += 1


def _row(
    name: str, path: str | None, engine: str, version: int, digest: str, weights: str | None, place: int, wanted: int,
    generation: int, created: int,
) -> Row:  # fmt: skip
    source = Source(name, _path(path), engine, version, digest, _path(weights))
    return Row(source, place, bool(wanted), generation, created)


def _text(path: Path | None) -> str | None:
    return str(path) if path else None


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None
