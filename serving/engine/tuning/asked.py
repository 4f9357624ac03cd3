"""What a request for a fine-tuning job asks for, read from its JSON object with every field checked."""

import hashlib
import math
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from serving.engine.errors import ServingError

AUTO = "auto"
MOST_EPOCHS, MOST_BATCH, MOST_RANK, MOST_TARGETS, MOST_CROP = 50, 256, 256, 64, 16
MOST_PAIRS, LONGEST_KEY, LONGEST_VALUE = 16, 64, 512
SUFFIX = re.compile(r"[\w.-]{0,64}", re.ASCII)
SEEDS = 2**31
FIELDS = {
    "model", "training_file", "validation_file", "suffix", "seed", "metadata", "method", "hyperparameters",
    "integrations",
}  # fmt: skip


@dataclass(frozen=True)
class JobRequest:
    """A job that is asked for: which model learns from which file, and the settings of the run."""

    model: str
    training_file: str
    validation_file: str | None
    suffix: str
    seed: int
    settings: dict[str, Any]  # {"hyperparameters": {...}} and, where they were given, "lora" and "images"
    metadata: dict[str, str] | None
    digest: str  # of the body


def job_request(body: Mapping[str, Any]) -> JobRequest:
    """The request in a body. Raises ServingError, naming the field."""
    unknown = sorted(set(body) - FIELDS)
    if unknown:
        raise ServingError(f"[request] a job has {', '.join(sorted(FIELDS))}, not {unknown[0][:60]!r}")
    if body.get("integrations"):
        raise ServingError("[integrations] there are none here; leave it out")
    settings = _method(body)
    seed = _whole("seed", body.get("seed"), 0, SEEDS - 1, None)
    suffix = body.get("suffix") or ""
    if not isinstance(suffix, str) or not SUFFIX.fullmatch(suffix):
        raise ServingError(f"[suffix] is up to 64 letters, digits, '-', '_' and '.', got {suffix!r:.80}")
    validation = None if body.get("validation_file") is None else _text(body, "validation_file")
    return JobRequest(
        _text(body, "model"), _text(body, "training_file"), validation, suffix,
        secrets.randbelow(SEEDS) if seed is None else seed, settings, _metadata(body.get("metadata")),
        hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest(),
    )  # fmt: skip


def _text(body: Mapping[str, Any], field: str) -> str:
    found = body.get(field)
    if not isinstance(found, str) or not found:
        what = "the name of a model" if field == "model" else "the id of a file"
        raise ServingError(f"[{field}] must be {what}, got {found!r:.40}")
    return found


def _method(body: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in `method`, or in the field `hyperparameters` that older clients send."""
    method = _object("method", body.get("method"))
    if method.get("type", "supervised") != "supervised" or set(method) - {"type", "supervised"}:
        raise ServingError(f"[method] jobs are supervised, got {method.get('type', sorted(method))!r:.80}")
    supervised = _object("method", method.get("supervised"))
    if set(supervised) - {"hyperparameters", "lora", "images"}:
        raise ServingError(f"[method] supervised has hyperparameters, lora and images, got {sorted(supervised)!r:.80}")
    given = supervised.get("hyperparameters", body.get("hyperparameters"))
    settings = {"hyperparameters": _hyperparameters(_object("hyperparameters", given))}
    if "lora" in supervised:
        settings["lora"] = _lora(_object("lora", supervised["lora"]))
    if "images" in supervised:
        settings["images"] = _images(_object("images", supervised["images"]))
    return settings


def _hyperparameters(given: dict[str, Any]) -> dict[str, Any]:
    known = {"n_epochs", "batch_size", "learning_rate_multiplier", "learning_rate"}
    if set(given) - known:
        raise ServingError(f"[hyperparameters] there are {', '.join(sorted(known))}, got {sorted(given)!r:.80}")
    found: dict[str, Any] = {}
    for field, most in (("n_epochs", MOST_EPOCHS), ("batch_size", MOST_BATCH)):
        value = given.get(field, AUTO)
        found[field] = AUTO if value in (None, AUTO) else _whole(field, value, 1, most, AUTO)
    for field in ("learning_rate_multiplier", "learning_rate"):
        value = given.get(field, AUTO)
        if field == "learning_rate_multiplier" or field in given:
            found[field] = AUTO if value in (None, AUTO) else _positive(field, value)
    return found


def _lora(given: dict[str, Any]) -> dict[str, Any]:
    if set(given) - {"r", "alpha", "target_modules", "dropout"}:
        raise ServingError(f"[lora] has r, alpha, target_modules and dropout, got {sorted(given)!r:.80}")
    found: dict[str, Any] = {}
    if given.get("r") is not None:
        found["r"] = _whole("lora", given["r"], 1, MOST_RANK, None)
    if given.get("alpha") is not None:
        found["alpha"] = _positive("lora", given["alpha"])
    if given.get("dropout") is not None:
        dropout = given["dropout"]
        if type(dropout) not in (int, float) or not 0 <= dropout < 1:
            raise ServingError(f"[lora] dropout must be at least 0 and below 1, got {dropout!r:.40}")
        found["dropout"] = float(dropout)
    targets = given.get("target_modules")
    if targets is not None:
        names = isinstance(targets, list) and all(isinstance(name, str) and name for name in targets)
        if not names or not 0 < len(targets) <= MOST_TARGETS:
            needed = f"1 to {MOST_TARGETS} names of layers"
            raise ServingError(f"[lora] target_modules must be a list of {needed}, got {targets!r:.80}")
        found["target_modules"] = targets
    return found


def _images(given: dict[str, Any]) -> dict[str, Any]:
    """How images are changed while they are learned from."""
    if set(given) - {"crop", "flip"}:
        raise ServingError(f"[images] has crop and flip, got {sorted(given)!r:.80}")
    found: dict[str, Any] = {}
    if given.get("crop") is not None:
        found["crop"] = _whole("images", given["crop"], 0, MOST_CROP, None)
    flip = given.get("flip")
    if flip is not None:
        if type(flip) not in (int, float) or not 0 <= flip <= 1:
            raise ServingError(f"[images] flip is the probability that an image is mirrored, got {flip!r:.40}")
        found["flip"] = float(flip)
    return found


def _metadata(given: Any) -> dict[str, str] | None:
    if given is None:
        return None
    fits = isinstance(given, dict) and len(given) <= MOST_PAIRS
    if not fits or not all(
        isinstance(value, str) and len(key) <= LONGEST_KEY and len(value) <= LONGEST_VALUE
        for key, value in given.items()
    ):
        needed = f"up to {MOST_PAIRS} pairs of strings, keys of up to {LONGEST_KEY} and values of up to {LONGEST_VALUE}"
        raise ServingError(f"[metadata] must be {needed} characters, got {given!r:.80}")
    found: dict[str, str] = given
    return found


def _object(field: str, given: Any) -> dict[str, Any]:
    if given is not None and not isinstance(given, dict):
        raise ServingError(f"[{field}] must be an object, got {given!r:.40}")
    return given or {}


def _whole(field: str, given: Any, least: int, most: int, default: Any) -> Any:
    if given is None:
        return default
    if type(given) is float and given.is_integer():  # 4.0 is a whole number too, as JSON Schema has it
        given = int(given)
    if type(given) is not int or not least <= given <= most:
        words = " or 'auto'" if default == AUTO else ""
        raise ServingError(f"[{field}] must be a whole number from {least} to {most}{words}, got {given!r:.40}")
    return given


def _positive(field: str, given: Any) -> float:
    if type(given) not in (int, float) or not 0 < given < math.inf:
        raise ServingError(f"[{field}] must be a number above 0, got {given!r:.40}")
    return float(given)
