"""Fine-tuning as the routes see it: files, jobs and models of one store, and what is done with several of them."""

import json
import logging
from pathlib import Path
from typing import Any

from needle.errors import NeedleError, SettingError
from needle.nn.lora.files import base_sha256
from serving.engine.database import NOWHERE, Place
from serving.engine.errors import DiskFull, NotServed, ServingError
from serving.engine.limits import Limits
from serving.engine.sources import RECORDING, Source, opened
from serving.engine.tuning.archive import discard, unpack_adapter
from serving.engine.tuning.asked import SUFFIX, JobRequest
from serving.engine.tuning.bases import base_of
from serving.engine.tuning.files import UPLOADED, Files
from serving.engine.tuning.jobs import Jobs
from serving.engine.tuning.leases import Leases
from serving.engine.tuning.models import Models
from serving.engine.tuning.store import Store, made_up
from zoo.adapted import CARD, read_card

log = logging.getLogger("serving")


class Tuning:
    """The files, jobs and models of a store, which need not be there: without it there are none."""

    def __init__(self, home: Path = NOWHERE, limits: Limits | None = None, place: Place | None = None):
        self.store = Store(home, place)
        self.files, self.jobs, self.models = Files(self.store, limits or Limits()), Jobs(self.store), Models(self.store)

    def begin(self) -> None:
        """Make the folder, or say that there is none."""
        try:
            self.store.create()
            self.files.sweep()
            Leases(self.store).sweep()
        except SettingError as problem:
            log.warning("%s\nfine-tuning is not served: there is no folder for it; name one with --state", problem)
        finally:
            self.store.database.close()

    def check(self) -> None:
        """Raises NotServed where there is no folder to keep anything in."""
        if not self.store.exists:
            raise NotServed("[server] fine-tuning needs a folder that can be written to; see --state")

    def create(self, owner: str, request: JobRequest, source: Source, repeat_key: str | None) -> dict[str, Any]:
        """A new job; its row. Raises ServingError for a model that cannot be tuned or files that there are not."""
        base = base_of(source)
        for field in ("training_file", "validation_file"):
            id = getattr(request, field)
            if id is not None:
                row = self.files.get(owner, id, field)
                if row["purpose"] != "fine-tune":
                    raise ServingError(f"[{field}] must be a file with the purpose fine-tune, got {row['purpose']}")
        return self.jobs.create(owner, request, base.name, base.file, repeat_key)

    def cancel(self, owner: str, id: str) -> dict[str, Any]:
        """End a job, as `Jobs.cancel` does, and delete what it has worked with as soon as nobody does."""
        row = self.jobs.cancel(owner, id)
        Leases(self.store).sweep()
        return row

    def take_adapter(self, owner: str, source: Source, suffix: str, data: bytes) -> dict[str, Any]:
        """A new model of an adapter that came as a zip file; its row.

        It is tried on its base first, and bound to those weights where it does not say that it is: so PEFT's are taken.
        Raises ServingError for an adapter that does not fit, TooLarge where an owner has as much as one may, DiskFull.
        """
        if not SUFFIX.fullmatch(suffix):
            raise ServingError(f"[suffix] is up to 64 letters, digits, '-', '_' and '.', got {suffix!r:.80}")
        base = base_of(source)
        id = made_up("")
        folder = self.store.home / f"{UPLOADED}{id}"
        try:
            folder.mkdir(mode=0o700)
            self.files.check_room(owner, unpack_adapter(data, folder))
            card = read_card(folder)
            if card.get("base", base.name) != base.name:
                raise ServingError(f"[file] is an adapter of {card.get('base')!r:.60}, not of {base.name}")
            (folder / CARD).write_text(json.dumps({**card, "base": base.name}))
            self._bind(folder, base.name, base.weights)
            name = self.models.name(source.name, suffix, id)
            with RECORDING:
                opened(Source(name, folder, weights=base.weights))
            self.models.add(owner, name, source.name, base.file, folder)
        except OSError as problem:
            discard(folder)
            raise DiskFull(f"[file] cannot be kept: {problem.strerror}") from problem
        except (NeedleError, ValueError, RecursionError) as problem:
            discard(folder)
            if isinstance(problem, ServingError):
                raise
            raise ServingError(f"[file] is no adapter of {source.name}: {_plain(problem, folder)}") from None
        return self.models.get(owner, name)

    def _bind(self, folder: Path, base: str, weights: Path | None) -> None:
        """Write the hash of the base into the adapter's settings, where none stands there."""
        path = folder / "adapter_config.json"
        settings = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(settings, dict) and "needle_base_sha256" not in settings:
            with RECORDING:
                model = opened(Source(base)) if weights is None else opened(Source(base, weights))
            path.write_text(json.dumps(settings | {"needle_base_sha256": base_sha256(model)}, indent=2))


def _plain(problem: Exception, folder: Path) -> str:
    """What went wrong, without where the server keeps things."""
    return str(problem).replace(f"{folder}/", "").replace(str(folder), "it")
