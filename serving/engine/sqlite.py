"""Tables in an SQLite file, for the processes of one machine."""

import sqlite3
from pathlib import Path
from typing import Any

from serving.engine.database import Cursor, Database, DatabaseFailed
from serving.engine.errors import DiskFull

PATIENCE = 10.0  # seconds to wait for another process that writes
FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE)
HELD = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class SqliteDatabase(Database):
    """The file at `path`."""

    begin = "BEGIN IMMEDIATE"

    def __init__(self, path: Path, schema: str):
        super().__init__(path, schema)
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def exists(self) -> bool:
        return self.path.exists()

    def create(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            self.path.touch(mode=0o600)
        self.execute("SELECT 1")

    def execute(self, statement: str, *values: Any) -> Cursor:
        with self.lock:
            given = values[0] if values and isinstance(values[0], dict) else values
            try:
                found: Cursor = self._open().execute(statement, given)
                return found
            except sqlite3.OperationalError as problem:
                if problem.sqlite_errorcode in FULL:
                    raise DiskFull(f"[server] {self.path.name} cannot be written: the disk is full") from problem
                if problem.sqlite_errorcode & 0xFF in HELD:
                    raise DatabaseFailed(f"[server] another process holds {self.path.name}; try again") from problem
                raise

    def pairs(self, column: str) -> str:
        return f"json_each({column})"

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            found = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
            found.execute("PRAGMA journal_mode = WAL")
            found.execute("PRAGMA synchronous = NORMAL")
            for name, function in (("least", min), ("greatest", max)):  # SQLite gives its own the names of aggregates
                found.create_function(name, 2, function, deterministic=True)
            found.executescript(self.schema)
            self._connection = found
        connection: sqlite3.Connection = self._connection
        return connection
