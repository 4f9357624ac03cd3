"""The models that the server knows: loaded or not, each behind its batcher, and the answers they give."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from serving.engine import codec, images
from serving.engine.batcher import Batcher, Job
from serving.engine.errors import NotFound, ServingError, Unavailable, UnsupportedMedia
from serving.engine.limits import Limits
from serving.engine.memory import Memory
from serving.engine.metrics import Metrics
from serving.engine.models import Model, check_canary

VERSION = "1"
PATIENCE = 1.0  # seconds a request waits for its model to be loaded before it is told to come again

log = logging.getLogger("serving")


@dataclass
class Entry:
    """What one worker process knows of a model. `generation` is the one that it was last brought to."""

    name: str
    model: Model | None = None
    batcher: Batcher | None = None
    generation: float = 0
    reason: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)


class Service:
    """Loads models by name with `load` and answers requests with them.

    Whether a model is wanted is one number in shared memory, so that all workers agree: its generation, the count of
    requests to load it, negative while it is unloaded. A worker that sees a new one reconciles before its next answer.
    """

    def __init__(self, load: Callable[[str], Model], names: Iterable[str], metrics: Metrics, limits: Limits):
        self.load_model, self.metrics, self.limits = load, metrics, limits
        self.entries = {name: Entry(name) for name in names}
        self.memory = Memory(limits)
        self.draining = False

    def start(self) -> threading.Thread:
        """Load every wanted model in the background; `ready` tells when that is done."""

        thread = threading.Thread(target=self._reconcile_all, name="load", daemon=True)
        thread.start()
        return thread

    # -- which models there are

    def set_wanted(self, name: str, wanted: bool) -> None:
        """Load (again) or unload a model, in every worker. Raises NotFound, or Unavailable if loading fails."""
        entry = self._entry(name, None)
        loads = abs(self._wanted(entry))
        self.metrics.counters.set_flag(("wanted", name), loads + 1 if wanted else -loads)
        self._reconcile(entry, patience=-1)
        if wanted and entry.reason:
            raise Unavailable(entry.reason)

    def ready(self) -> bool:
        """Every wanted model is loaded and has given its known answer, and the server is not shutting down."""
        self._reconcile_all()
        return not self.draining and all(e.model for e in self.entries.values() if self._wanted(e) > 0)

    def model(self, name: str, version: str | None = None) -> Model:
        """The loaded model. Raises NotFound (unknown, or unloaded) or Unavailable (being loaded, or that failed)."""
        return self._loaded(name, version)[0]

    def index(self) -> list[dict[str, Any]]:
        """Every known model with its state, as the model repository extension words it."""
        self._reconcile_all()
        return [{"name": e.name, "version": VERSION, **self._state(e)} for e in self.entries.values()]

    def _state(self, entry: Entry) -> dict[str, Any]:
        if self._wanted(entry) <= 0:
            return {"state": "UNAVAILABLE", "reason": "unloaded"}
        if entry.model is not None:
            return {"state": "READY", "reason": ""}
        return {"state": "UNAVAILABLE" if entry.reason else "LOADING", "reason": entry.reason}

    def _entry(self, name: str, version: str | None) -> Entry:
        if name not in self.entries:
            raise NotFound(f"[models] there is no model {name[:80]!r}; there are {', '.join(self.entries)}")
        if version not in (None, VERSION):
            raise NotFound(f"[{name}] there is no version {version[:80]!r}; there is {VERSION}")
        return self.entries[name]

    def _wanted(self, entry: Entry) -> float:
        return self.metrics.counters.flag(("wanted", entry.name))

    def _loaded(self, name: str, version: str | None) -> tuple[Model, Batcher]:
        entry = self._entry(name, version)
        if entry.generation != self._wanted(entry):
            self._reconcile(entry, patience=0 if entry.model else PATIENCE)
        model, batcher = entry.model, entry.batcher
        if model is None or batcher is None:
            if self._wanted(entry) <= 0:
                raise NotFound(f"[{name}] is not loaded; POST /v2/repository/models/{name}/load loads it")
            raise Unavailable(entry.reason or f"[{name}] is being loaded")
        return model, batcher

    def _reconcile_all(self) -> None:
        """Bring every model to what is wanted, but for those that another thread is loading."""
        for entry in self.entries.values():
            self._reconcile(entry, patience=0)

    def _reconcile(self, entry: Entry, patience: float) -> None:
        """Bring `entry` to what is wanted, unless another thread is at it for `patience` seconds (-1: wait for it)."""
        if not entry.lock.acquire(timeout=patience):
            return
        try:
            wanted = self._wanted(entry)
            if entry.generation == wanted:
                return
            if wanted > 0:
                self._load(entry)
            else:
                self._set(entry, None, None)
            entry.generation = wanted
        finally:
            entry.lock.release()

    def _load(self, entry: Entry) -> None:
        """Load a model and let it give its known answer; a model that was loaded before serves until then, or stays."""
        try:
            model = self.load_model(entry.name)
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
        entry.reason = ""
        self._set(entry, model, Batcher(model.run, model.max_batch, self.limits.queue, count))
        log.info("[%s] ready", entry.name)

    def _set(self, entry: Entry, model: Model | None, batcher: Batcher | None) -> None:
        self.metrics.counters.add(("loaded", entry.name), (model is not None) - (entry.model is not None))
        entry.model, entry.batcher = model, batcher

    # -- answers

    def infer(self, name: str, version: str | None, body: bytes, header_length: str | None) -> tuple[bytes, int | None]:
        """The answer to an inference request of the Open Inference Protocol, as `codec.reply` gives it."""
        model, batcher = self._loaded(name, version)
        begun = time.perf_counter()
        request = codec.read(body, header_length, model, self.memory.need)
        self.memory.release()
        parsed = time.perf_counter()
        job = batcher.submit(request.inputs, request.timeout and request.timeout / 1e6)
        computed = time.perf_counter()
        answer = codec.reply(model, request, job.outputs)
        self._count(name, job, parsed - begun, time.perf_counter() - computed)
        return answer

    def classify(self, name: str, version: str | None, body: bytes) -> dict[str, Any]:
        """Class probabilities for the image file in `body`, the most probable first."""
        model, batcher = self._loaded(name, version)
        spec = model.card.get("input", {})
        if spec.get("kind") != "image":
            raise UnsupportedMedia(f"[{name}] does not take images")
        begun = time.perf_counter()
        inputs = {model.inputs[0].name: images.read(body, spec, self.limits, self.memory.need)}
        self.memory.release()
        parsed = time.perf_counter()
        job = batcher.submit(inputs)
        computed = time.perf_counter()
        logits = job.outputs[model.outputs[0].name][0]
        found = images.predictions(logits, model.outputs[0].labels)
        self._count(name, job, parsed - begun, time.perf_counter() - computed)
        return {"model_name": name, "model_version": model.version, "predictions": found}

    def _count(self, name: str, job: Job, before: float, after: float) -> None:
        self.metrics.phases(
            name, queue=job.queue_seconds, compute_input=before, compute_infer=job.compute_seconds, compute_output=after
        )

    @contextmanager
    def counted(self, name: str) -> Iterator[None]:
        """Count what happens inside as one request to the model, by the status it is answered with."""
        if name not in self.entries:
            yield
            return
        begun, status = time.perf_counter(), 500
        self.metrics.counters.add(("in_flight", name), 1)
        try:
            yield
            status = 200
        except ServingError as refusal:
            status = refusal.status
            raise
        finally:
            self.metrics.counters.add(("in_flight", name), -1)
            self.metrics.request(name, status, time.perf_counter() - begun)
