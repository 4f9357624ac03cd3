"""Tables in a PostgreSQL database, for servers on several machines.

psycopg is needed (pip install 'needle-dl[postgres]'). What the URL leaves out comes from the environment and the files
that PostgreSQL's own clients read: PGPASSWORD, ~/.pgpass and the like.
"""

import re
from typing import TYPE_CHECKING, Any

from needle.errors import SettingError
from serving.engine.database import Cursor, Database, DatabaseFailed
from serving.engine.errors import DiskFull

if TYPE_CHECKING:
    import psycopg

SCHEMES = ("postgresql://", "postgres://")
PATIENCE = 10  # seconds to wait for a connection
LOCK = 0x6E6565646C65  # the advisory lock under which needle's transactions write, one at a time
# How a schema in SQLite's words is said here, in this order.
WORDS = {
    "INTEGER PRIMARY KEY AUTOINCREMENT": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    "INTEGER": "BIGINT", "REAL": "DOUBLE PRECISION", ") STRICT": ")",
}  # fmt: skip


class PostgresDatabase(Database):
    """The database at `url`, postgresql://USER@HOST:PORT/NAME.

    Raises SettingError for another kind of URL, and where psycopg is not installed.
    """

    begin = f"BEGIN; SELECT pg_advisory_xact_lock({LOCK})"

    def __init__(self, url: str, schema: str):
        if not url.startswith(SCHEMES):
            needed = "must be a URL such as postgresql://user@host/name"
            raise SettingError(f"[database] {needed}, got {_shown(url)[:80]!r}")
        try:
            import psycopg
        except ImportError:
            advice = "psycopg is not installed: pip install 'needle-dl[postgres]'"
            raise SettingError(f"[database] {_shown(url)} needs a driver, and {advice}") from None
        super().__init__(url, schema)
        self.url, self.psycopg = url, psycopg

    def __str__(self) -> str:
        return _shown(self.url)

    @property
    def exists(self) -> bool:
        return True

    def create(self) -> None:
        self.execute("SELECT 1")

    def execute(self, statement: str, *values: Any) -> Cursor:
        with self.lock:
            try:
                if values and isinstance(values[0], dict):
                    given: Any = values[0]
                    statement = re.sub(r":(\w+)", r"%(\1)s", statement)
                else:
                    given = values or None
                    statement = statement.replace("?", "%s")
                found: Cursor = self._open().execute(statement, given)
                return found
            except self.psycopg.errors.DiskFull as problem:
                raise DiskFull("[server] the database cannot be written: its disk is full") from problem
            except (self.psycopg.OperationalError, self.psycopg.InterfaceError) as problem:
                self._drop()
                raise DatabaseFailed("[server] the database does not answer; try again") from problem

    def pairs(self, column: str) -> str:
        return f"json_each_text({column}::json)"

    def _drop(self) -> None:
        """Let go of a connection that was lost; the next statement opens another."""
        if self._connection is not None and (self._connection.closed or self._connection.broken):
            self.close()

    def _open(self) -> "psycopg.Connection[Any]":
        if self._connection is None:
            schema = self.schema
            for word, here in WORDS.items():
                schema = schema.replace(word, here)
            found = self.psycopg.connect(self.url, autocommit=True, connect_timeout=PATIENCE, application_name="needle")
            try:
                with found.transaction():  # two that make the same table at once would disturb each other
                    found.execute(f"SELECT pg_advisory_xact_lock({LOCK})")
                    found.execute(schema)
            except BaseException:
                found.close()
                raise
            self._connection = found
        connection: psycopg.Connection[Any] = self._connection
        return connection


def _shown(url: str) -> str:
    """A URL without the password in it."""
    return re.sub(r"(//[^:/@]*):[^@/]*@", r"\1@", re.sub(r"(?i)([?&]password=)[^&]*", r"\1...", url))
