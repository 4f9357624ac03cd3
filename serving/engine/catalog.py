"""The models of one worker process: it loads and unloads what the registry says that the server has."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from serving.engine.batcher import Batcher
from serving.engine.errors import NotFound, ServingError, Unavailable
from serving.engine.limits import Limits
from serving.engine.metrics import Metrics
from serving.engine.models import Model, check_canary
from serving.engine.registry import Row
from serving.engine.sources import Source, is_tuned, latest, scan

PATIENCE = 5.0  # seconds a request waits for its model to be loaded before it is told to come again

log = logging.getLogger("serving")


@dataclass
class Entry:
    """What one worker process knows of a model. `generation` is the one that it was last brought to."""

    name: str
    model: Model | None = None
    batcher: Batcher | None = None
    generation: int = 0
    reason: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)


class Catalog:
    """Loads models with `load` when they are wanted. Requests keep the model that they have begun with.

    A worker that sees a new generation of a row reconciles before its next answer: so all workers agree. With a
    `folder`, models that appear in it are known from the next `load` or `index` on. `engine` is that of a `load`: an
    administrator's order, unlike what comes otherwise.
    """

    def __init__(
        self, load: Callable[[Source], Model], metrics: Metrics, limits: Limits, folder: Path | None = None,
        engine: str = "instant",
    ):  # fmt: skip
        self.load_model, self.metrics, self.limits = load, metrics, limits
        self.registry, self.folder, self.engine = metrics.registry, folder, engine
        self._entries: dict[str, Entry] = {}
        self._lock = threading.Lock()

    # -- which models there are

    def load(self, name: str) -> None:
        """Load a model (again), in every worker. Raises NotFound, or Unavailable if loading fails."""
        self._look_into_folder()
        try:
            source = latest(self._row(name, None).source)
        except NotFound as problem:
            if name not in self.registry.rows():
                raise
            raise Unavailable(str(problem)) from None
        row = self.registry.want(name, wanted=True, engine=self.engine, source=source)
        entry = self._entry(row)
        self._reconcile(entry, row, patience=-1)
        if entry.reason:
            raise Unavailable(entry.reason)

    def unload(self, name: str) -> None:
        """Unload a model, in every worker. Raises NotFound."""
        row = self.registry.want(name, wanted=False)
        self._reconcile(self._entry(row), row, patience=-1)

    def ready(self) -> bool:
        """Every wanted model is loaded here and has given its known answer, but for those of single keys."""
        self.reconcile()
        rows = [row for name, row in self.registry.rows().items() if row.wanted and not is_tuned(name)]
        return all(self._entry(row).model is not None for row in rows)

    def index(self) -> list[dict[str, Any]]:
        """Every known model with its state, as the model repository extension words it."""
        self._look_into_folder()
        self.reconcile()
        return [
            {"name": row.source.name, "version": str(row.source.version), **self._state(row)}
            for row in self.registry.rows().values()
        ]

    def _look_into_folder(self) -> None:
        for source in scan(self.folder) if self.folder else ():
            self.registry.add(source, wanted=False, update=False)

    def _state(self, row: Row) -> dict[str, Any]:
        entry = self._entry(row)
        if not row.wanted:
            return {"state": "UNAVAILABLE", "reason": "unloaded"}
        if entry.model is not None:
            return {"state": "READY", "reason": ""}
        return {"state": "UNAVAILABLE" if entry.reason else "LOADING", "reason": entry.reason}

    # -- those that are loaded here

    def loaded(self, name: str, version: str | None = None) -> tuple[Model, Batcher]:
        """The loaded model. Raises NotFound (unknown, or unloaded) or Unavailable (being loaded, or that failed)."""
        row = self._row(name, version)
        entry = self._entry(row)
        if entry.generation != row.generation:
            self._reconcile(entry, row, patience=0 if entry.model else PATIENCE)
        model, batcher = entry.model, entry.batcher
        if model is None or batcher is None:
            if not row.wanted:
                raise NotFound(f"[{name}] is not loaded; POST /v2/repository/models/{name}/load loads it")
            raise Unavailable(entry.reason or f"[{name}] is being loaded")
        return model, batcher

    def reconcile(self) -> None:
        """Bring every model to what is wanted, but for those that another thread is loading."""
        rows = self.registry.rows()
        for row in rows.values():
            self._reconcile(self._entry(row), row, patience=0)
        for name in [name for name in self._entries if name not in rows]:
            with self._lock:
                removed = self._entries.pop(name, None)
            if removed is not None:
                self._set(removed, None, None)

    def close(self) -> None:
        """Let go of all models."""
        for entry in self._entries.values():
            self._set(entry, None, None)

    def _row(self, name: str, version: str | None) -> Row:
        rows = self.registry.rows()
        if name not in rows:
            raise NotFound(self.registry.unknown(name))
        if version not in (None, str(rows[name].source.version)):
            raise NotFound(f"[{name}] there is no version {version[:80]!r}; there is {rows[name].source.version}")
        return rows[name]

    def _entry(self, row: Row) -> Entry:
        with self._lock:
            return self._entries.setdefault(row.source.name, Entry(row.source.name))

    def _reconcile(self, entry: Entry, row: Row, patience: float) -> None:
        """Bring `entry` to its row, unless another thread is at it for `patience` seconds (-1: wait for it)."""
        if not entry.lock.acquire(timeout=patience):
            return
        try:
            if entry.generation == row.generation:
                return
            if row.wanted:
                self._load(entry, row)
            else:
                self._set(entry, None, None)
            entry.generation = row.generation
        finally:
            entry.lock.release()

    def _load(self, entry: Entry, row: Row) -> None:
        """Load a model and let it give its known answer; a model that was loaded before serves until then, or stays."""
        try:
            model = self.load_model(row.source)
            if model.canary is not None:
                check_canary(model.name, model.run, model.canary)
        except ServingError as problem:
            entry.reason = str(problem)
            log.error("%s", problem)
            return
        except Exception as problem:
            entry.reason = f"[{entry.name}] loading failed: {problem}"
            log.exception("[%s] loading failed", entry.name)
            return
        count = partial(self.metrics.run, entry.name)
        if model.text is not None:
            model.text.scheduler.limit, model.text.scheduler.on_run = self.limits.queue, count
        entry.reason = ""
        self._set(entry, model, Batcher(model.run, model.max_batch, self.limits.queue, count))
        log.info("[%s] ready", entry.name)

    def _set(self, entry: Entry, model: Model | None, batcher: Batcher | None) -> None:
        before = entry.model
        self.metrics.add(entry.name, ("loaded", (model is not None) - (before is not None)))
        entry.model, entry.batcher = model, batcher
        if before is not None:
            before.close()
