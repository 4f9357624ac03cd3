"""What a server is made of, whichever program runs it: gunicorn's workers or the replicas of a cluster."""

import argparse
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from needle.backend_ndarray.ndarray_backend_cpu import set_num_threads
from serving import telemetry
from serving.app import create_app
from serving.engine.catalog import Catalog
from serving.engine.limits import FLAGS, Limits
from serving.engine.metrics import Metrics
from serving.engine.models import Model
from serving.engine.registry import Registry
from serving.engine.service import Service
from serving.engine.sources import Source
from serving.engine.tuning.service import Tuning
from serving.key_commands import state_of
from serving.supervisor import Supervisor


def limits_of(options: argparse.Namespace) -> Limits:
    """The limits that the flags ask for."""
    counts = {"body", "inflated", "pixels", "memory", "queue", "storage", "training"}
    values = {field: getattr(options, field) * unit for field, (_, unit, *_) in FLAGS.items()}
    return Limits(**{field: int(value) if field in counts else value for field, value in values.items()})


class Parts:
    """What the workers of a server share. `load` makes a Model of a source, in each worker.

    The models it begins with are `given`; they are registered in a file that lives as long as the server. What outlives
    it lies in the state's folder and database.
    """

    def __init__(self, load: Callable[[Source], Model], given: Sequence[Source], options: argparse.Namespace):
        self.load_model, self.options, self.limits = load, options, limits_of(options)
        self.folder = Path(tempfile.mkdtemp(prefix="needle-serve-"))
        registry = Registry(self.folder / "models.db")
        for source in given:
            registry.add(source)
        registry.close()
        state = state_of(options)
        keys = state.keys()
        self.is_closed = keys.needed
        keys.close()
        self.tuning = Tuning(state.folder, self.limits, state.place)
        self.tuning.begin()
        trains = options.plugin, options.train_nice, options.log_format
        self.supervisor = Supervisor(self.tuning.store, self.limits, *trains)
        # A worker that is being replaced and its successor count at the same time; more may be added while it runs.
        self.metrics = Metrics(registry, columns=2 * options.workers + 62)

    def app(self, threads: int) -> Any:
        """The WSGI app of one worker, whose process computes on so many threads from now on.

        Its models load in the background, so that it answers health checks at once.
        """
        set_num_threads(max(1, threads))
        engine, folder = self.options.engine, self.options.repository
        catalog = Catalog(self.load_model, self.metrics, self.limits, folder, engine)
        keys = state_of(self.options).keys()
        keys.was_needed = self.is_closed
        service = Service(catalog, keys, self.tuning)
        service.is_private = getattr(self.options, "is_private", False)
        service.start()
        app = create_app(service)
        telemetry.instrument(app)
        return app

    def end(self) -> None:
        """When no worker is left: let the process that trains end after its step."""
        self.supervisor.end()
        shutil.rmtree(self.folder, ignore_errors=True)
