"""What a fine-tuning run is asked to do: plain data, checked once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from needle.errors import SettingError
from needle.optim.settings import fraction, number, positive, whole

from ..seeds import check_seed

METHODS = {
    "lora": "low-rank matrices beside frozen weights, and a new head where the classes are new",
    "full": "all parameters",
    "head": "the last layer alone",
}
AUTO = "auto"


@dataclass(frozen=True)
class Config:
    """A run is a function of its config and the bytes of its base and data.

    `base` is a model of the zoo, with the weights in the package or in the file `weights`; `data` a text (.txt), rows
    (.jsonl) or a folder of images, one folder a class. `validation` is the share that is held out, of a text the last
    part, unless `validation_data` is a file or folder of its own; with 0 and none nothing is measured on the way.
    `validations` is how often it is measured; the best weights are kept, and after `patience` times without a better
    loss the run ends. `epochs`, `batch` and `targets` "auto" are chosen by size, the `rank` by the kind of task with
    `alpha` twice as much, and the `learning_rate` by a short probe; it is multiplied by `learning_rate_multiplier`.
    `crop` (pixels) and `flip` (a probability) change images. `pretrained` False begins with random weights, for
    comparison. Raises SettingError for what makes no sense.
    """

    base: str
    data: str
    weights: str | None = None
    validation_data: str | None = None
    method: str = "lora"
    rank: int | str = AUTO
    alpha: float | str = AUTO
    targets: tuple[str, ...] | str = AUTO
    dropout: float = 0.0
    epochs: int | str = AUTO
    batch: int | str = AUTO
    learning_rate: float | str = AUTO
    learning_rate_multiplier: float = 1.0
    weight_decay: float = 0.01
    warmup: float = 0.1
    clip: float = 1.0
    validation: float = 0.1
    validations: int = 10
    patience: int = 3
    crop: int = 2
    flip: float = 0.5
    seed: int = 0
    pretrained: bool = True

    def __post_init__(self) -> None:
        for name in ("base", "data"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise SettingError(f"[finetune] {name} must be a name, got {getattr(self, name)!r}")
        for name in ("weights", "validation_data"):
            if not isinstance(getattr(self, name), str | None):
                raise SettingError(f"[finetune] {name} must be a path or None, got {getattr(self, name)!r}")
        if self.method not in METHODS:
            raise SettingError(f"[finetune] method must be one of {', '.join(METHODS)}, got {self.method!r}")
        whole("finetune", validations=self.validations, patience=self.patience)
        whole("finetune", least=0, crop=self.crop)
        check_seed("finetune", self.seed)
        for name in ("epochs", "batch", "rank"):
            if getattr(self, name) != AUTO:
                whole("finetune", **{name: getattr(self, name)})
        fraction("finetune", dropout=self.dropout, validation=self.validation, warmup=self.warmup)
        positive("finetune", weight_decay=self.weight_decay)
        given_numbers = [name for name in ("alpha", "learning_rate") if getattr(self, name) != AUTO]
        for name in ("clip", "learning_rate_multiplier", *given_numbers):
            if not 0 < number("finetune", name, getattr(self, name)) < math.inf:
                raise SettingError(f"[finetune] {name} must be a finite number above 0, got {getattr(self, name)}")
        if not 0 <= number("finetune", "flip", self.flip) <= 1:
            raise SettingError(f"[finetune] flip must be a probability, got {self.flip}")
        if self.targets != AUTO:
            given = self.targets
            if isinstance(given, str) or not given or not all(isinstance(each, str) and each for each in given):
                raise SettingError(f"[finetune] targets must be names of layers or patterns of them, got {given!r}")
            object.__setattr__(self, "targets", tuple(given))
        if type(self.pretrained) is not bool or (not self.pretrained and self.method != "full"):
            raise SettingError('[finetune] pretrained is True or, with method="full", False')

    @property
    def has_rate(self) -> bool:
        """Whether the learning rate is given."""
        return self.learning_rate != AUTO

    def facts(self) -> dict[str, Any]:
        """All fields as JSON has them."""
        found = asdict(self)
        return found | {"targets": self.targets if isinstance(self.targets, str) else list(self.targets)}

    @classmethod
    def parse(cls, facts: Mapping[str, Any]) -> Config:
        """The config of `facts()`. Raises SettingError for fields that there are not, or that are missing."""
        known = {field.name for field in fields(cls)}
        needed = {field.name for field in fields(cls) if field.default is MISSING}
        if set(facts) - known or needed - set(facts):
            strange, missing = sorted(set(facts) - known), sorted(needed - set(facts))
            raise SettingError(
                f"[finetune] a config has no {strange}, needs {missing}; it has {', '.join(sorted(known))}"
            )
        return cls(**facts)
