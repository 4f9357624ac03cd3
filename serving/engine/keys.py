"""Who may ask for what: keys in a database, of which only hashes are kept, with scopes, rates and what was used.

All workers, and the command that makes keys, read and write the same rows: a key that is revoked is refused at once.
Keys have 256 random bits, so that one round of SHA-256 is enough to keep them secret.
"""

import hashlib
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from needle.environment import unwritable
from serving.engine.database import NOWHERE, Place, database_at
from serving.engine.errors import Forbidden, NotFound, RateLimited, Unauthorized, Unavailable

SCOPES = ("infer", "train", "admin")
BURST = 1.0  # seconds of its rate that a key may spend at once

SCHEMA = """
CREATE TABLE IF NOT EXISTS keys (
    id TEXT PRIMARY KEY, hash TEXT NOT NULL UNIQUE, name TEXT NOT NULL, scopes TEXT NOT NULL, rate REAL,
    created INTEGER NOT NULL, revoked INTEGER, "left" REAL NOT NULL DEFAULT 0, stamp REAL NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS usage (
    key TEXT NOT NULL, day TEXT NOT NULL, model TEXT NOT NULL, requests INTEGER NOT NULL DEFAULT 0,
    rows INTEGER NOT NULL DEFAULT 0, prompt_tokens INTEGER NOT NULL DEFAULT 0,
    completion_tokens INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (key, day, model)
) STRICT
"""
# `left` requests may be made at `stamp`, and `rate` more each second until there are as many as a burst has.
LEFT = """least(greatest(1.0, rate * :burst), "left" + (:now - stamp) * rate)"""
SPEND = f"""UPDATE keys SET stamp = :now, "left" = {LEFT} - 1 WHERE id = :id AND {LEFT} >= 1"""
FIELDS = ("requests", "rows", "prompt_tokens", "completion_tokens")


@dataclass(frozen=True)
class Key:
    """A key as it is kept; `rate` is in requests per second, None for any number."""

    id: str
    name: str
    scopes: tuple[str, ...]
    rate: float | None
    created: int
    revoked: int | None


class Keys:
    """The keys at a place, where there need not be any: before the first key was made, nobody needs one.

    `was_needed` says that there were keys: should they be lost, the server stays closed.
    """

    def __init__(self, place: Place = NOWHERE):
        self.database, self.was_needed = database_at(place, SCHEMA), False

    # -- for the one who hands them out

    def create(self, scopes: Sequence[str], rate: float | None = None, name: str = "") -> tuple[Key, str]:
        """A new key, and its secret, which nobody can find out later. Raises SettingError if it cannot be kept."""
        secret, made = f"nk-{secrets.token_urlsafe(32)}", int(time.time())
        key = Key(f"key-{secrets.token_hex(6)}", name, tuple(scopes), rate, made, None)
        try:
            self.database.create()
            self.database.execute(
                "INSERT INTO keys (id, hash, name, scopes, rate, created) VALUES (?, ?, ?, ?, ?, ?)",
                key.id, _hash(secret), name, ",".join(scopes), rate, made,
            )  # fmt: skip
        except OSError as problem:
            raise unwritable(str(self.database), problem) from None
        return key, secret

    def revoke(self, id: str) -> Key:
        """Refuse a key from now on. Raises NotFound."""
        found = {key.id: key for key in self.every()}.get(id)
        if found is None:
            raise NotFound(f"[keys] there is no key {id[:40]!r}; needle-serve keys list shows them")
        self.database.execute("UPDATE keys SET revoked = coalesce(revoked, ?) WHERE id = ?", int(time.time()), id)
        return found

    def every(self) -> list[Key]:
        """All keys, revoked ones too, in the order in which they were made."""
        if not self.database.exists:
            return []
        rows = self.database.execute("SELECT id, name, scopes, rate, created, revoked FROM keys ORDER BY created, id")
        return [Key(id, name, tuple(scopes.split(",")), *rest) for id, name, scopes, *rest in rows]

    # -- for the server

    @property
    def needed(self) -> bool:
        """Whether requests need a key: once there was one, also when all are revoked. Raises Unavailable."""
        if self.database.exists:
            found = self.database.execute("SELECT EXISTS (SELECT 1 FROM keys)").fetchone()[0]
            self.was_needed = self.was_needed or bool(found)
        elif self.was_needed:
            raise Unavailable("[key] the file with the keys is gone: put it back, or start the server again")
        return self.was_needed

    def admit(self, secret: str | None, scope: str) -> Key | None:
        """The key of a request that needs `scope` ("": any key), which is counted against its rate.

        None where no keys are needed. Raises Unauthorized, Forbidden or RateLimited.
        """
        if not self.needed:
            return None
        if not secret:
            raise Unauthorized("[key] a key is needed: send the header Authorization: Bearer KEY")
        row = self.database.execute(
            "SELECT id, name, scopes, rate, created, revoked FROM keys WHERE hash = ?", _hash(secret)
        ).fetchone()
        if row is None or row[5] is not None:
            raise Unauthorized("[key] the key is unknown" if row is None else "[key] the key was revoked")
        key = Key(row[0], row[1], tuple(row[2].split(",")), *row[3:])
        if scope and scope not in key.scopes:
            raise Forbidden(f"[key] this needs a key with the scope {scope}, and this one has {', '.join(key.scopes)}")
        if key.rate is not None:
            given = {"id": key.id, "now": time.time(), "burst": BURST}
            if not self.database.execute(SPEND, given).rowcount:
                raise RateLimited(f"[key] the limit of this key is {key.rate:g} requests a second", 1 / key.rate)
        return key

    def count(self, key: Key, model: str, **amounts: int) -> None:
        """Add to what a key has used of a model today: rows, prompt_tokens, completion_tokens; and one request."""
        values = [1, *(amounts.get(field, 0) for field in FIELDS[1:])]
        sums = ", ".join(f"{field} = usage.{field} + excluded.{field}" for field in FIELDS)
        day = time.strftime("%Y-%m-%d", time.gmtime())
        self.database.execute(
            f"INSERT INTO usage (key, day, model, {', '.join(FIELDS)}) VALUES (?, ?, ?, ?, ?, ?, ?) "
            f"ON CONFLICT (key, day, model) DO UPDATE SET {sums}",
            key.id, day, model, *values,
        )  # fmt: skip

    def usage(self, key: str | None = None) -> list[dict[str, Any]]:
        """What a key, or each, has used, by day and model, the newest first."""
        if not self.database.exists:
            return []
        names = ("key", "day", "model", *FIELDS)
        where, values = ("WHERE key = ?", (key,)) if key else ("", ())
        statement = f"SELECT {', '.join(names)} FROM usage {where} ORDER BY day DESC, key, model"
        return self.database.rows(statement, *values)

    def close(self) -> None:
        """Close the connection; it is opened again when it is needed."""
        self.database.close()


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
