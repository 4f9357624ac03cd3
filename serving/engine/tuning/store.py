"""The rows of files, jobs and fine-tuned models, and lists of them in pages."""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from needle.environment import unwritable
from serving.engine.database import Place, database_at
from serving.engine.errors import Missing

# `place` is the order in which rows were made; a number is given once, so that a list can go on behind what is deleted.
# A job is at work while `holder` names a process whose `lease` (seconds since 1970) has not run out.
SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, filename TEXT NOT NULL,
    bytes INTEGER NOT NULL, purpose TEXT NOT NULL, created INTEGER NOT NULL, expires INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS jobs (
    place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, status TEXT NOT NULL,
    paused INTEGER NOT NULL DEFAULT 0, model TEXT NOT NULL, base TEXT NOT NULL, weights TEXT,
    training_file TEXT NOT NULL, validation_file TEXT, suffix TEXT NOT NULL, seed INTEGER NOT NULL,
    settings TEXT NOT NULL, metadata TEXT, created INTEGER NOT NULL, finished INTEGER, error TEXT,
    trained_tokens INTEGER, estimated_finish INTEGER, result_files TEXT NOT NULL DEFAULT '[]', fine_tuned_model TEXT,
    repeat_key TEXT, repeat_body TEXT, holder TEXT, lease REAL NOT NULL DEFAULT 0, claimed REAL NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0, UNIQUE (owner, repeat_key)
) STRICT;
CREATE TABLE IF NOT EXISTS events (
    place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, job TEXT NOT NULL, created INTEGER NOT NULL,
    level TEXT NOT NULL, message TEXT NOT NULL, type TEXT NOT NULL, data TEXT NOT NULL, step INTEGER,
    UNIQUE (job, step)
) STRICT;
CREATE TABLE IF NOT EXISTS checkpoints (
    place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, job TEXT NOT NULL, created INTEGER NOT NULL,
    step INTEGER NOT NULL, model TEXT NOT NULL, metrics TEXT NOT NULL, UNIQUE (job, step)
) STRICT;
CREATE TABLE IF NOT EXISTS tuned (
    place INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, base TEXT NOT NULL,
    weights TEXT, folder TEXT NOT NULL, created INTEGER NOT NULL
) STRICT
"""


class Page(NamedTuple):
    """Some rows of a list, and whether more follow."""

    rows: list[dict[str, Any]]
    has_more: bool


class Store:
    """The files in the folder `home`, and the rows about them, in a file there unless another place is given.

    Servers that share a database share the folder too.
    """

    def __init__(self, home: Path, place: Place | None = None):
        self.home = home
        self.database = database_at(place or home / "state.db", SCHEMA)

    @property
    def exists(self) -> bool:
        """Whether anything was ever put into it."""
        return self.home.is_dir() and self.database.exists

    def create(self) -> None:
        """Make the folder and the tables unless they are there. Raises SettingError where they cannot be made."""
        try:
            self.database.create()
            for folder in ("files", "jobs", "models"):
                (self.home / folder).mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as problem:
            raise unwritable(self.home, problem) from None

    def page(
        self, table: str, where: Mapping[str, Any], after: str | None, limit: int, oldest_first: bool = False,
        more: str = "", values: tuple[Any, ...] = (),
    ) -> Page:  # fmt: skip
        """Up to `limit` rows in which these columns have these values, the newest first, behind the row `after`.

        `more` is a further condition with `values`. Raises Missing for an `after` that is no row of the list.
        """
        conditions = [f"{column} = ?" for column in where]
        given = [*where.values()]
        if after is not None:
            found = self.database.execute(
                f"SELECT place FROM {table} WHERE {' AND '.join([*conditions, 'id = ?'])}", *given, after
            ).fetchone()
            if found is None:
                raise Missing(f"[after] must be the id of an item of this list, got {after!r:.80}")
            conditions.append("place > ?" if oldest_first else "place < ?")
            given.append(found[0])
        if more:
            conditions.append(more)
        order = "ASC" if oldest_first else "DESC"
        statement = f"SELECT * FROM {table} WHERE {' AND '.join(conditions)} ORDER BY place {order} LIMIT ?"
        rows = self.database.rows(statement, *given, *values, limit + 1)
        return Page(rows[:limit], len(rows) > limit)


def made_up(prefix: str) -> str:
    """A new id."""
    return f"{prefix}{secrets.token_hex(12)}"
