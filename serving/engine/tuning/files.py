"""Files that clients have uploaded, or that jobs have made for them: rows, and their bytes beside them."""

import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from serving.engine.errors import DiskFull, Missing, ServingError, TooLarge
from serving.engine.limits import Limits, raise_with
from serving.engine.tuning.store import Page, Store, made_up

PURPOSE, RESULTS = "fine-tune", "fine-tune-results"
UPLOADED = "models/adapter-"  # how the folders of adapters that were sent begin
KEPT = "(expires IS NULL OR expires > ?)"
FIELDS = ("owner", "filename", "bytes", "purpose", "created", "expires")
LONGEST_NAME = 200
EXPIRIES = (3600, 2592000)  # seconds: the shortest and the longest time that a client may ask for


class Files:
    """The files in a store. What is not its `owner`'s is not there."""

    def __init__(self, store: Store, limits: Limits):
        self.store, self.limits = store, limits

    def add(
        self, owner: str, name: str, data: bytes, purpose: str = PURPOSE, seconds: int | None = None,
        id: str | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Keep a file, for ever or for so many seconds; its row. Whole or not at all; one of the same `id` goes.

        Raises TooLarge where an owner has as much as one may, DiskFull, and ServingError for a name that is none.
        """
        if not 0 < len(name) <= LONGEST_NAME or not name.isprintable() or set(name) & set("/\\"):
            raise ServingError(f"[file] needs a name of up to {LONGEST_NAME} characters without '/', got {name!r:.60}")
        self.sweep()
        if purpose == PURPOSE:
            self.check_room(owner, len(data))
        id, created = id or made_up("file-"), int(time.time())
        self._write(self.path(id), data)
        try:
            self.store.database.execute(
                f"INSERT INTO files (id, {', '.join(FIELDS)}) VALUES (?, ?, ?, ?, ?, ?, ?) "
                f"ON CONFLICT (id) DO UPDATE SET {', '.join(f'{each} = excluded.{each}' for each in FIELDS)}",
                id, owner, name, len(data), purpose, created, seconds and created + seconds,
            )  # fmt: skip
        except BaseException:
            self.path(id).unlink(missing_ok=True)
            raise
        return self.get(owner, id)

    def check_room(self, owner: str, size: int) -> None:
        """Raises TooLarge where what an owner has sent, files and adapters, would be more than one may have."""
        statement = f"SELECT coalesce(sum(bytes), 0) FROM files WHERE owner = ? AND purpose = ? AND {KEPT}"
        used = int(self.store.database.execute(statement, owner, PURPOSE, time.time()).fetchone()[0])
        statement = "SELECT folder FROM tuned WHERE owner = ? AND folder LIKE ?"
        for row in self.store.database.rows(statement, owner, f"{UPLOADED}%"):
            used += sum(path.stat().st_size for path in (self.store.home / row["folder"]).glob("*"))
        if used + size > self.limits.storage:
            given = f"the files and adapters of this key have {used} bytes, this one {size}"
            raise TooLarge(f"[file] {given}; {raise_with('storage', self.limits)}, or delete some")

    def _write(self, path: Path, data: bytes) -> None:
        try:
            handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, path)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary)
                raise
        except OSError as problem:
            raise DiskFull(f"[file] cannot be kept: {problem.strerror}") from problem

    def get(self, owner: str, id: str, field: str = "file") -> dict[str, Any]:
        """The row of a file, which a request names in `field`. Raises Missing."""
        statement = f"SELECT * FROM files WHERE owner = ? AND id = ? AND {KEPT}"
        found = self.store.database.rows(statement, owner, id, time.time())
        if not found:
            raise Missing(f"[{field}] there is no file {id!r:.80}")
        return found[0]

    def list(self, owner: str, purpose: str | None, after: str | None, limit: int, oldest_first: bool) -> Page:
        """A page of the files of an owner."""
        where = {"owner": owner} | ({"purpose": purpose} if purpose else {})
        return self.store.page("files", where, after, limit, oldest_first, KEPT, (time.time(),))

    def path(self, id: str) -> Path:
        """Where the bytes of a file are."""
        return self.store.home / "files" / id

    def delete(self, owner: str, id: str) -> None:
        """Delete a file. Raises Missing."""
        self.get(owner, id)
        self.store.database.execute("UPDATE files SET expires = ? WHERE id = ?", int(time.time()), id)
        self.path(id).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Delete what has expired, and what a process that was killed has left unfinished.

        Rows stay for a while: whoever lists files, and deletes them on the way, goes on behind the last one.
        """
        now = time.time()
        for row in self.store.database.rows("SELECT id FROM files WHERE expires <= ?", now):
            self.path(row["id"]).unlink(missing_ok=True)
        self.store.database.execute("DELETE FROM files WHERE expires <= ?", now - EXPIRIES[0])
        for left in (self.store.home / "files").glob("*.part"):
            with suppress(OSError):
                if left.stat().st_mtime < now - EXPIRIES[0]:
                    left.unlink()


def described(row: dict[str, Any]) -> dict[str, Any]:
    """A file as the OpenAI API words it."""
    return {
        "id": row["id"], "object": "file", "bytes": row["bytes"], "created_at": row["created"],
        "filename": row["filename"], "purpose": row["purpose"], "status": "processed", "status_details": None,
        "expires_at": row["expires"],
    }  # fmt: skip
