"""The models that jobs have made, or that were uploaded as adapters: rows, and the folders of their adapters."""

import shutil
import time
from pathlib import Path
from typing import Any

from serving.engine.errors import NotFound
from serving.engine.sources import TUNED, Source, latest
from serving.engine.tuning.store import Store

WHOSE = "local"  # the organization in a model's name
CHECKPOINT = ":ckpt-step-"


class Models:
    """The fine-tuned models in a store. What is not its `owner`'s is not there."""

    def __init__(self, store: Store):
        self.store, self.database = store, store.database

    @staticmethod
    def name(base: str, suffix: str, id: str) -> str:
        """What a model is called: ft:BASE:local:SUFFIX:ID, with the digits of the id of its job."""
        return f"{TUNED}{base}:{WHOSE}:{suffix}:{id.rpartition('-')[2][:12]}"

    def add(self, owner: str, name: str, base: str, weights: str | None, folder: Path) -> None:
        """A model of which an adapter lies in a folder inside the store's; one that is there stays."""
        self.database.execute(
            "INSERT INTO tuned (name, owner, base, weights, folder, created) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT DO NOTHING",
            name, owner, base, weights, str(folder.relative_to(self.store.home)), int(time.time()),
        )  # fmt: skip

    def get(self, owner: str, name: str) -> dict[str, Any]:
        """The row of a model. Raises NotFound."""
        statement = "SELECT * FROM tuned WHERE owner = ? AND name = ?"
        found = self.database.rows(statement, owner, name) if self.store.exists else []
        if not found:
            raise NotFound(f"[models] there is no model {name[:80]!r}")
        return found[0]

    def known(self, name: str) -> bool:
        """Whether there is such a model, whosever it is."""
        return bool(self.database.execute("SELECT EXISTS (SELECT 1 FROM tuned WHERE name = ?)", name).fetchone()[0])

    def every(self, owner: str) -> list[dict[str, Any]]:
        """All models of an owner."""
        return (
            self.database.rows("SELECT * FROM tuned WHERE owner = ? ORDER BY place", owner) if self.store.exists else []
        )

    def source(self, row: dict[str, Any]) -> Source:
        """Where the model of a row comes from: it runs at once, without a compiler. Raises NotFound."""
        weights = Path(row["weights"]) if row["weights"] else None
        try:
            return latest(Source(row["name"], self.folder(row), weights=weights))
        except NotFound:
            raise NotFound(f"[models] the files of {row['name']} are gone") from None

    def folder(self, row: dict[str, Any]) -> Path:
        """The folder of a model's adapter."""
        return self.store.home / str(row["folder"])

    def delete(self, owner: str, name: str) -> list[str]:
        """Delete a model and those of the checkpoints on the way to it; their names. Raises NotFound."""
        self.get(owner, name)
        found = self.database.rows(
            "DELETE FROM tuned WHERE owner = ? AND (name = ? OR substr(name, 1, ?) = ?) RETURNING name, folder",
            owner, name, len(name + CHECKPOINT), name + CHECKPOINT,
        )  # fmt: skip
        for row in found:
            shutil.rmtree(self.folder(row), ignore_errors=True)
        return [row["name"] for row in found]
