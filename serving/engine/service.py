"""What the server answers with its models: tensors, classes of an image, pictures from noise."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from serving.engine import codec, images
from serving.engine.batcher import Batcher, Job
from serving.engine.catalog import Catalog
from serving.engine.errors import NotFound, OtherUse, ServingError
from serving.engine.keys import Keys
from serving.engine.memory import Memory
from serving.engine.metrics import levels
from serving.engine.models import Model
from serving.engine.noise import latents
from serving.engine.registry import Row
from serving.engine.sources import is_tuned
from serving.engine.text import asking
from serving.engine.text.engine import TextEngine
from serving.engine.text.load import begin_text, texts
from serving.engine.text.task import Call, usage
from serving.engine.tuning.service import Tuning


class Service:
    """Answers requests with the models of a catalog. `draining` says that the server is shutting down.

    `is_private` says that it is for the processes of its own machine alone, as long as nobody needs a key.
    """

    def __init__(self, catalog: Catalog, keys: Keys | None = None, tuning: Tuning | None = None):
        self.keys, self.tuning = keys or Keys(), tuning or Tuning()
        self.catalog, self.metrics, self.limits = catalog, catalog.metrics, catalog.limits
        self.registry = catalog.registry
        self.memory = Memory(self.limits)
        self.draining = self.is_private = False

    def start(self) -> threading.Thread:
        """Load every wanted model in the background; `ready` tells when that is done."""
        thread = threading.Thread(target=self.catalog.reconcile, name="load", daemon=True)
        thread.start()
        return thread

    def ready(self) -> bool:
        """Every wanted model is loaded and has given its known answer, and the server is not shutting down."""
        return self.catalog.ready() and not self.draining

    # -- models, as the owner of a request sees them

    def known(self, name: str, owner: str) -> Row:
        """The row of a model. A fine-tuned one is there for its owner alone, and registered when it is asked for: so it
        is on all workers from its first moment on. Raises NotFound.
        """
        if is_tuned(name):
            try:
                found = self.tuning.models.get(owner, name)
            except NotFound:
                self._forget_deleted(name)
                raise NotFound(self.registry.unknown(name)) from None
            if name not in self.registry.rows():
                self.registry.add(self.tuning.models.source(found), update=False)
        row = self.registry.rows().get(name)
        if row is None:
            raise NotFound(self.registry.unknown(name))
        return row

    def sees(self, owner: str) -> Callable[[str], bool]:
        """Whether a model, by name, is there for an owner."""
        mine = {row["name"] for row in self.tuning.models.every(owner)}
        return lambda name: not is_tuned(name) or name in mine

    def index(self, owner: str) -> list[dict[str, Any]]:
        """Every known model with its state, as the model repository extension words it."""
        sees = self.sees(owner)
        return [entry for entry in self.catalog.index() if sees(entry["name"])]

    def exposition(self, owner: str) -> str:
        """The counters for Prometheus."""
        jobs = self.tuning.jobs.counts() if self.tuning.store.exists else {}
        found = self.metrics.text(self.sees(owner))
        return found + levels("finetune_jobs", "Fine-tuning jobs by their status.", "status", jobs)

    def delete(self, name: str, owner: str) -> None:
        """Delete a fine-tuned model, on all workers. Raises NotFound."""
        self._forget(self.tuning.models.delete(owner, name))

    def _forget_deleted(self, name: str) -> None:
        """Let go of a fine-tuned model that another server, which has the same rows, has deleted."""
        if name in self.registry.rows() and not self.tuning.models.known(name):
            self._forget([name])

    def _forget(self, names: Iterable[str]) -> None:
        for name in names:
            row = self.registry.remove(name)
            if row is not None:
                self.metrics.counters.clear(row.place)
        self.catalog.reconcile()

    def loaded(self, name: str, version: str | None, owner: str) -> tuple[Model, Batcher]:
        """The loaded model. Raises NotFound (unknown, or unloaded) or Unavailable (being loaded, or that failed)."""
        self.known(name, owner)
        return self.catalog.loaded(name, version)

    def model(self, name: str, version: str | None = None, owner: str = "") -> Model:
        """The loaded model, by itself."""
        return self.loaded(name, version, owner)[0]

    # -- answers

    def infer(
        self, name: str, version: str | None, body: bytes, header_length: str | None, owner: str = "",
        left: Callable[[], bool] = lambda: False, count: Callable[..., None] = lambda **used: None,
    ) -> tuple[bytes, int | None]:  # fmt: skip
        """The answer to an inference request of the Open Inference Protocol, as `codec.reply` gives it.

        A text ends when `left()` says that nobody waits for it; `count` is told what the request has used.
        """
        model, batcher = self.loaded(name, version, owner)
        begun = time.perf_counter()
        request = codec.read(body, header_length, model, self.memory.need)
        self.memory.release()
        parsed = time.perf_counter()
        if model.text is not None:
            call = begin_text(model.text, request.inputs, asking.parameters(request.parameters, model.text), owner)
            try:
                call.finish(left, request.timeout and request.timeout / 1e6)
            finally:
                count(**self.end_text(name, model.text, call, 1, begun))
            return codec.reply(model, request, texts(call))
        job = batcher.submit(request.inputs, request.timeout and request.timeout / 1e6, owner)
        computed = time.perf_counter()
        answer = codec.reply(model, request, job.outputs)
        count(rows=job.rows)
        self._count(name, job, parsed - begun, time.perf_counter() - computed)
        return answer

    def end_text(self, name: str, engine: TextEngine, call: Call, choices: int, begun: float) -> dict[str, int]:
        """End a call that began at `begun`, whether it is done or its client has left, and count it; its tokens."""
        engine.scheduler.cancel(call)
        first = call.first - begun if call.first is not None else None
        used = usage(call.tasks, choices)
        del used["total_tokens"]
        self.metrics.text_request(name, **used, first=first, cancelled=not call.delivered)
        return used

    def classify(self, name: str, version: str | None, body: bytes, owner: str = "") -> dict[str, Any]:
        """Class probabilities for the image file in `body`, the most probable first."""
        model, batcher = self.loaded(name, version, owner)
        if model.usage != "image":
            raise OtherUse(f"[{name}] takes {model.usage}, not image files")
        spec = model.card["input"]
        begun = time.perf_counter()
        need = partial(self.memory.need_to_decode, owner=owner)
        inputs = {model.inputs[0].name: images.read(body, spec, self.limits, need)}
        self.memory.release()
        parsed = time.perf_counter()
        job = batcher.submit(inputs, owner=owner)
        computed = time.perf_counter()
        logits = job.outputs[model.outputs[0].name][0]
        found = images.predictions(logits, model.outputs[0].labels)
        self._count(name, job, parsed - begun, time.perf_counter() - computed)
        return {"model_name": name, "model_version": model.version, "predictions": found}

    def sample(
        self, name: str, version: str | None, given: Mapping[str, Any], owner: str = ""
    ) -> tuple[bytes, int]:  # fmt: skip
        """A PNG sheet of pictures that a model makes of the noise that is asked for, and how many they are."""
        model, batcher = self.loaded(name, version, owner)
        if model.usage != "noise":
            raise OtherUse(f"[{name}] takes {model.usage}, it makes no pictures of noise")
        (noise,), (picture,) = model.inputs, model.outputs
        drawn = latents(given, noise.shape[1:], model.max_batch)
        job = batcher.submit({noise.name: drawn}, owner=owner)
        self._count(name, job, 0.0, 0.0)
        return images.sheet(job.outputs[picture.name], model.card["output"]), len(drawn)

    def _count(self, name: str, job: Job, before: float, after: float) -> None:
        self.metrics.phases(
            name, queue=job.queue_seconds, compute_input=before, compute_infer=job.compute_seconds, compute_output=after
        )

    @contextmanager
    def counted(self, name: str) -> Iterator[None]:
        """Count what happens inside as one request to the model, by the status it is answered with."""
        begun, status = time.perf_counter(), 500
        self.metrics.add(name, ("in_flight", 1))
        try:
            yield
            status = 200
        except ServingError as refusal:
            status = refusal.status
            raise
        finally:
            self.metrics.add(name, ("in_flight", -1))
            self.metrics.request(name, status, time.perf_counter() - begun)
