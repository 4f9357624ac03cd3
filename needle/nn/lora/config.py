"""`adapter_config.json`: the settings of an adapter, as PEFT's LoraConfig has them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import DataError

MAX_CONFIG = 1 << 20  # bytes
MAX_RANK = 1 << 16
BASE = "needle_base_sha256"  # the field that PEFT does not have

# Fields of LoraConfig that are as they are here in every file of ours. PEFT reads fields that are missing as these.
CONSTANT: dict[str, Any] = {
    "alpha_pattern": {}, "auto_mapping": None, "bias": "none", "exclude_modules": None, "fan_in_fan_out": False,
    "inference_mode": True, "init_lora_weights": True, "layer_replication": None, "layers_pattern": None,
    "layers_to_transform": None, "loftq_config": {}, "lora_bias": False, "megatron_config": None,
    "megatron_core": "megatron.core", "peft_type": "LORA", "rank_pattern": {},
    "revision": None, "target_parameters": None, "task_type": None, "trainable_token_indices": None,
    "use_dora": False, "use_qalora": False,
}  # fmt: skip
OWN = {
    "r", "lora_alpha", "lora_dropout", "use_rslora", "target_modules", "modules_to_save", "base_model_name_or_path",
    BASE,
}  # fmt: skip
# Fields that say how an adapter came to be, or where: they change nothing about what it computes.
HARMLESS = {
    "auto_mapping", "ensure_weight_tying", "exclude_modules", "inference_mode", "init_lora_weights", "layers_pattern",
    "layers_to_transform", "megatron_core", "peft_version", "qalora_group_size", "revision", "task_type",
}  # fmt: skip


@dataclass(frozen=True)
class Config:
    """The settings of an adapter, the names of its modules, and its base, as far as they are known."""

    rank: int
    alpha: float
    dropout: float
    rslora: bool
    modules: list[str]
    base: str | None
    base_sha256: str | None
    whole: list[str]  # the modules that are in the file whole

    def text(self) -> str:
        """The file's text, its fields in order of the alphabet, as PEFT writes them."""
        alpha = int(self.alpha) if self.alpha == int(self.alpha) else self.alpha
        own = {
            "r": self.rank, "lora_alpha": alpha, "lora_dropout": self.dropout, "use_rslora": self.rslora,
            "target_modules": self.modules, "modules_to_save": self.whole or None,
            "base_model_name_or_path": self.base, BASE: self.base_sha256,
        }  # fmt: skip
        return json.dumps(CONSTANT | own, indent=2, sort_keys=True)

    @classmethod
    def read(cls, path: Path, where: str) -> Config:
        """The settings in a file. Raises DataError, naming the field, for what is malformed or cannot be done here."""
        fields = _fields(path, where)

        def checked(name: str, fits: Any, needed: str, default: Any = None) -> Any:
            value = fields.get(name, default)
            if not fits(value):
                raise DataError(f"[{where}] {name} of {path.name} must be {needed}, got {value!r:.100}")
            return value

        for name, value in fields.items():
            harmless = name in OWN | HARMLESS or value in (None, False, {}, [])
            if not harmless and (name not in CONSTANT or value != CONSTANT[name]):
                raise DataError(f"[{where}] {path.name} asks for {name} = {value!r:.100}, which there is not here")
        checked("peft_type", lambda x: x == "LORA", "'LORA'")
        checked("bias", lambda x: x == "none", "'none'", "none")
        return cls(
            checked("r", lambda x: type(x) is int and 0 < x <= MAX_RANK, f"a whole number from 1 to {MAX_RANK}"),
            float(checked("lora_alpha", _positive, "a finite number greater than 0")),
            float(checked("lora_dropout", lambda x: _number(x) and 0 <= x < 1, "a number in [0, 1)", 0.0)),
            checked("use_rslora", lambda x: type(x) is bool, "true or false", False),
            [],  # the names of the arrays say it: PEFT's may be patterns
            checked("base_model_name_or_path", lambda x: x is None or isinstance(x, str), "a string or null"),
            checked(BASE, _is_sha256, "64 hexadecimal digits"),
            checked("modules_to_save", _are_names, "null or a list of at most 100 names") or [],
        )


def _fields(path: Path, where: str) -> dict[str, Any]:
    """The JSON object in a file of moderate size."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_CONFIG + 1)
    except OSError as error:
        raise DataError(f"[{where}] {path.name} cannot be read: {error.strerror}") from None
    if len(text) > MAX_CONFIG:
        raise DataError(f"[{where}] {path.name} has more than {MAX_CONFIG:,} bytes")
    try:
        fields = json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise DataError(f"[{where}] {path.name} is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise DataError(f"[{where}] {path.name} must hold a JSON object, got a {type(fields).__name__}")
    return fields


def _number(x: Any) -> bool:
    return type(x) in (int, float)


def _positive(x: Any) -> bool:
    return _number(x) and 0 < x < 1e300 and math.isfinite(x)


def _is_sha256(x: Any) -> bool:
    return x is None or (isinstance(x, str) and len(x) == 64 and set(x) <= set("0123456789abcdef"))


def _are_names(x: Any) -> bool:
    return x is None or (isinstance(x, list) and len(x) <= 100 and all(isinstance(each, str) for each in x))
