"""Tables that any process and thread may read and write, one at a time: in an SQLite file, or in a PostgreSQL database.

Statements are written once, in the SQL that both read; schemas in that of SQLite.
"""

import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from serving.engine.errors import Unavailable

Place = Path | str  # of an SQLite file, or the URL of a PostgreSQL database
DATABASE = "NEEDLE_DATABASE"  # the environment variable that holds a URL
NOWHERE = Path(os.devnull) / "none"  # there is no such file, and there can be none


class DatabaseFailed(Unavailable):
    """The database does not answer, or another process has held it for too long."""


class Cursor(Protocol):
    """What a statement has found or changed."""

    @property
    def rowcount(self) -> int: ...
    @property
    def description(self) -> Sequence[Sequence[Any]] | None: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...


class Database:
    """Tables, to which each process opens a connection of its own when it needs one; `schema` makes what is not there.

    Subclasses say how to connect, and what is special about their SQL.
    """

    begin: str  # the statement that begins a transaction, which waits for that of another process

    def __init__(self, place: Place, schema: str):
        self.place, self.schema = place, schema
        self.forget()
        _opened.add(self)

    def forget(self) -> None:
        """In a forked child: the parent's connection is not for it."""
        self.lock = threading.RLock()
        self._connection: Any = None

    def close(self) -> None:
        """Close this process's connection, as is to be done before a fork; it is opened again when it is needed."""
        with self.lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def __str__(self) -> str:
        """Where it is, for people; never with a password."""
        raise NotImplementedError

    @property
    def exists(self) -> bool:
        """Whether it can be there; where it is not, nothing was ever put into it."""
        raise NotImplementedError

    def create(self) -> None:
        """Make it, and what `schema` says, unless it is there; nobody else may read it. Raises OSError."""
        raise NotImplementedError

    def execute(self, statement: str, *values: Any) -> Cursor:
        """One statement; values by place (`?`), or one mapping of them by name (`:name`).

        Raises DatabaseFailed, DiskFull.
        """
        raise NotImplementedError

    def pairs(self, column: str) -> str:
        """The table of `key` and `value`, as text, of a JSON object in a column."""
        raise NotImplementedError

    def rows(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """What a statement finds, each row by the names of its columns."""
        with self.lock:
            found = self.execute(statement, *values)
            names = [column[0] for column in found.description or ()]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that happens inside at once, or nothing, and nobody else's transaction meanwhile."""
        with self.lock:
            self.execute(self.begin)
            try:
                yield
            except BaseException:
                if self._connection is not None:  # else it was lost, and what was inside with it
                    self.execute("ROLLBACK")
                raise
            self.execute("COMMIT")


def database_at(place: Place, schema: str) -> Database:
    """The database at a place. Raises SettingError where what a PostgreSQL database needs is not installed."""
    from serving.engine.postgres import PostgresDatabase
    from serving.engine.sqlite import SqliteDatabase

    return SqliteDatabase(place, schema) if isinstance(place, Path) else PostgresDatabase(place, schema)


_opened: "weakref.WeakSet[Database]" = weakref.WeakSet()


def _forked() -> None:
    for database in list(_opened):
        database.forget()


os.register_at_fork(after_in_child=_forked)
