"""Tables in an SQLite file that any process and thread may read and write; one writes at a time."""

import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from serving.engine.errors import DiskFull

PATIENCE = 10.0  # seconds to wait for another process that writes
FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE)


class Database:
    """The file at `path`, which each process opens for itself when it needs it; `schema` makes what is not there."""

    def __init__(self, path: Path, schema: str):
        self.path, self.schema = path, schema
        self.forget()
        _opened.add(self)

    def forget(self) -> None:
        """In a forked child: the parent's connection is not for it."""
        self.lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None

    def close(self) -> None:
        """Close this process's connection, as is to be done before a fork; it is opened again when it is needed."""
        with self.lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        """One statement; values by place, or one mapping of them by name. Raises DiskFull."""
        with self.lock:
            given = values[0] if values and isinstance(values[0], dict) else values
            try:
                return self._open().execute(statement, given)
            except sqlite3.OperationalError as problem:
                if problem.sqlite_errorcode in FULL:
                    raise DiskFull(f"[server] {self.path.name} cannot be written: the disk is full") from problem
                raise

    def rows(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """What a statement finds, each row by the names of its columns."""
        with self.lock:
            found = self.execute(statement, *values)
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that happens inside at once, or nothing."""
        with self.lock:
            self.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self.execute("ROLLBACK")
                raise
            self.execute("COMMIT")

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            found = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
            found.execute("PRAGMA journal_mode = WAL")
            found.execute("PRAGMA synchronous = NORMAL")
            found.executescript(self.schema)
            self._connection = found
        return self._connection


_opened: "weakref.WeakSet[Database]" = weakref.WeakSet()


def _forked() -> None:
    for database in list(_opened):
        database.forget()


os.register_at_fork(after_in_child=_forked)
