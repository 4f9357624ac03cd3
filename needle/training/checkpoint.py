"""The checkpoint of a whole run: one safetensors file that holds all a resumed run depends on, and no times.

Arrays: `step.*` is the state of the training step, `random` and `epoch_random` are words of numpy's global generator
now and at the start of the epoch. The metadata entry "run" is JSON: epoch, position in it, steps so far, the loader's
settings, the rest of the generators, the log and the caller's config. Nothing in it can execute.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy

from ..errors import DataError, NeedleError
from ..weights import read_safetensors, save_safetensors

FORMAT = "needle run 1"
Generator = Any  # numpy.random.get_state(): name, words, position, whether a normal draw is kept, that draw


@dataclass
class RunState:
    """Where a run stands between two steps."""

    epoch: int = 0  # counted from 0
    position: int = 0  # batches done in this epoch
    steps: int = 0  # batches done in all epochs
    batches: int | None = None  # in an epoch
    sums: dict[str, list[float]] = field(default_factory=dict)  # metric -> [sum, count] since the last row of the log
    rows: list[dict[str, float]] = field(default_factory=list)  # the log
    loader: dict[str, Any] | None = None  # what loader.state_dict() said
    epoch_random: Generator = None  # numpy's global generator at the start of the epoch
    random: Generator = None  # and now


def save_run(path: str | os.PathLike[str], step: Any, run: RunState, config: Any) -> None:
    """Write the checkpoint to `path`, whole or not at all: until it is whole, the one before stays there."""
    save_safetensors(path, *contents(step, run, config))


def contents(step: Any, run: RunState, config: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """The arrays and the metadata of a checkpoint. Raises NeedleError for what it cannot hold."""
    arrays = {f"step.{name}": array for name, array in step.state_dict().items()}
    facts: dict[str, Any] = dict(vars(run), config=config)
    for name in ("random", "epoch_random"):
        if facts[name] is not None:
            kind, words, *rest = facts[name]
            arrays[name], facts[name] = words, [kind, *rest]
    return arrays, {"format": FORMAT, "run": _json(facts)}


def load_run(path: str | os.PathLike[str], step: Any, config: Any) -> RunState:
    """Restore `step` from the checkpoint at `path`; where the run stood.

    Raises DataError for a file that is not such a checkpoint, and NeedleError for one that was made with another config
    or another step, naming what differs.
    """
    arrays, metadata = read_safetensors(path)
    if metadata.get("format") != FORMAT:
        raise DataError(f"[fit] {path} is no checkpoint of a run: format {metadata.get('format')!r}, not {FORMAT!r}")
    facts = _facts(path, metadata.get("run", ""))
    differences = differing(facts.pop("config"), json.loads(_json(config)))
    if differences:
        raise NeedleError(
            f"[fit] {path} was made with another config: {'; '.join(differences)}. "
            "Go on with the config it was made with, or use another folder"
        )
    for name in ("random", "epoch_random"):
        if facts[name] is not None:
            facts[name] = _generator(path, facts[name], arrays.pop(name, None))
    strange = [name for name in arrays if not name.startswith("step.")]
    if strange:
        raise DataError(f"[fit] {path} has arrays that belong to no part of a run: {', '.join(strange)}")
    try:
        step.load_state_dict({name.removeprefix("step."): array for name, array in arrays.items()})
    except KeyError as error:
        raise DataError(f"[fit] {path} lacks {error} for {type(step).__name__}") from None
    return RunState(**facts)


def differing(old: Any, new: Any, name: str = "config") -> list[str]:
    """What differs between two JSON values, as "config.lr: 0.1 there, 0.2 now"."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted({*old, *new})
        return [line for key in keys for line in differing(old.get(key), new.get(key), f"{name}.{key}")]
    same = old == new or json.dumps(old) == json.dumps(new)  # as NaN is, which does not equal itself
    return [] if same else [f"{name}: {old!r} there, {new!r} now"]


def _json(value: Any) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise NeedleError(f"[fit] config, loader state and metrics must be such as JSON has: {error}") from None


def _count(x: Any) -> bool:
    return type(x) is int and x >= 0


def _number(x: Any) -> bool:
    return type(x) in (int, float)


def _sums(x: Any) -> bool:
    return isinstance(x, dict) and all(isinstance(v, list) and len(v) == 2 and all(map(_number, v)) for v in x.values())


def _rows(x: Any) -> bool:
    return isinstance(x, list) and all(isinstance(row, dict) and all(map(_number, row.values())) for row in x)


CHECKS: dict[str, Callable[[Any], bool]] = {
    "epoch": _count, "position": _count, "steps": _count, "batches": lambda x: x is None or _count(x),
    "sums": _sums, "rows": _rows,
    "loader": lambda x: x is None or isinstance(x, dict),
    "epoch_random": lambda x: x is None or (isinstance(x, list) and len(x) == 4),
    "random": lambda x: isinstance(x, list) and len(x) == 4,
    "config": lambda x: True,
}  # fmt: skip


def _facts(path: Any, text: str) -> dict[str, Any]:
    """The fields of a RunState and the config, their kinds checked."""
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"[fit] {path}: the entry 'run' is not JSON: {error}") from None
    if not isinstance(facts, dict) or set(facts) != set(CHECKS):
        raise DataError(f"[fit] {path}: the entry 'run' needs exactly {', '.join(CHECKS)}")
    for name, check in CHECKS.items():
        if not check(facts[name]):
            raise DataError(f"[fit] {path}: {name} of the entry 'run' is malformed: {facts[name]!r:.100}")
    return facts


def _generator(path: Any, rest: list[Any], words: Any) -> Generator:
    """The state of numpy's global generator, tried on a generator of its own."""
    state = (rest[0], words, *rest[1:])
    try:
        numpy.random.RandomState(0).set_state(state)
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise DataError(f"[fit] {path}: the state of the random generator is malformed: {error}") from None
    return state
