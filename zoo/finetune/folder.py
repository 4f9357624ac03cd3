"""The folder of a fine-tuning run: made when all is well, refused where it is another's, before it is written to."""

from __future__ import annotations

from pathlib import Path

from needle.errors import DataError, NeedleError
from needle.training.checkpoint import differing
from needle.training.loop import CHECKPOINT

from .config import Config
from .prepare import read_json

CONFIG, PLAN, LOG = "config.json", "plan.json", "log.csv"


def make_folder(folder: Path) -> None:
    """Make the folder unless it is there. Raises DataError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"[finetune] {folder} cannot be made: {error.strerror}; name another folder") from None


def check_folder(folder: Path, config: Config, data_sha256: str | None = None) -> None:
    """Raise NeedleError where another run has begun: of another config, of other data, or one that is no fine-tuning.

    A config alone is that of a run which was stopped before it had begun: it gives way.
    """
    held = [name for name in (CONFIG, PLAN, CHECKPOINT, LOG) if (folder / name).exists()]
    there, plan = read_json(folder / CONFIG), read_json(folder / PLAN)
    if held and not (isinstance(there, dict) and {"base", "data"} <= there.keys()):
        raise NeedleError(
            f"[finetune] {folder} holds {', '.join(held)}, and no config of a fine-tuning run: use another folder"
        )
    differences = differing(there, config.facts()) if held not in ([], [CONFIG]) else []
    if differences:
        raise NeedleError(
            f"[finetune] {folder} is of a run with another config: {'; '.join(differences)}. Go on with that, or use "
            "another folder"
        )
    learned = plan.get("data_sha256") if isinstance(plan, dict) and CHECKPOINT in held else None
    if data_sha256 is not None and isinstance(learned, str) and learned != data_sha256:
        raise NeedleError(
            f"[finetune] {folder} is of a run with other data: {config.data} has changed since it began. Bring back "
            "what it was, or use another folder"
        )
