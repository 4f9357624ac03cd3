"""What a job says on its way and at its end: plain records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .estimate import Estimate


@dataclass(frozen=True)
class Report:
    """Something happened after `step` of `total` steps.

    `event` is "begins" (with an `estimate`, and whether learning rates will be tried), "probe" (with the `rates` tried
    and their losses, after that of the beginning as of rate 0), "step" (with loss, accuracy and rate), "validation"
    (with its numbers), "kept" (with those, and the path of what was learned by then), "checkpoint" (with its path) or
    "ends". `tokens` are those learned from so far, of images their number; `accuracy` is the fraction of those targets
    that were the most probable ones, in the step or, as the loss, since the last measurement; `seconds_left` is a guess
    by the steps so far.
    """

    event: str
    step: int
    total: int
    tokens: int = 0
    loss: float | None = None
    accuracy: float | None = None
    learning_rate: float | None = None
    seconds_left: float | None = None
    validation: Mapping[str, float] | None = None
    checkpoint: str | None = None
    estimate: Estimate | None = None
    rates: tuple[tuple[float, float | None], ...] = ()
    tries_rates: bool = False


@dataclass(frozen=True)
class Result:
    """What a run has made: the numbers on what was held out, and the file or folder that `zoo.load` takes.

    `path` is an adapter's folder, in PEFT's format, or a file of weights, `argument` which of the two `load` calls it;
    `sha256` is that of its weights. `before` is the base's measurement, of a new head that has learned nothing yet.
    `shown` is something to look at: samples of text, or images that are named wrongly. `stopped` is True for a run that
    was told to stop and can go on.
    """

    path: str
    argument: str
    sha256: str
    steps: int
    tokens: int
    learning_rate: float
    before: Mapping[str, float]
    after: Mapping[str, float]
    shown: Mapping[str, Any] = field(default_factory=dict)
    stopped: bool = False
