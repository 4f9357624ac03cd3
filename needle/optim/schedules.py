"""Learning rates as functions of the step, and as objects that set an optimizer's rate after each of its updates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy

from .. import reprs
from ..errors import NeedleError, SettingError
from ..types import INTEGERS, plain_number
from .settings import number
from .stateful import LOWEST, State, Stateful, stored


def cosine(step: int, steps: int, peak: float, final: float = 0.0, warmup: int = 0) -> float:
    """final + (peak - final) (1 + cos(pi t)) / 2, t from 0 to 1 over the `steps`, after a linear rise over `warmup`.

    `step` counts from 0. Source: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return final + (peak - final) * (1 + math.cos(math.pi * progress)) / 2


def one_cycle(
    step: int, steps: int, peak: float, rise: float = 0.3, start_factor: float = 25.0, final_factor: float = 1e4
) -> float:
    """start = peak / start_factor up to peak over the first `rise` of the steps, then down to start / final_factor.

    Both halves are cosines; `step` counts from 0 to steps - 1, where the lowest rate is reached.
    Source: Smith and Topin, "Super-convergence", 2018.
    """
    start = peak / start_factor
    top = max(1e-9, rise * steps - 1)
    if step <= top:
        low, progress = start, 1 - step / top
    else:
        low, progress = start / final_factor, min(1.0, (step - top) / max(1e-9, steps - 1 - top))
    return low + (peak - low) * (1 + math.cos(math.pi * progress)) / 2


def linear(step: int, steps: int, peak: float, final: float = 0.0, warmup: int = 0) -> float:
    """peak + (final - peak) t, t from 0 to 1 over the `steps`, after a linear rise over `warmup`; step from 0."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak + (final - peak) * min(1.0, (step - warmup) / max(1, steps - warmup))


class Schedule(Stateful):
    """The learning rate of an optimizer's update number k is `rate(k)`, k = 0 ... steps - 1.

    Making a schedule sets `optimizer.lr` to rate(0); `step()`, once after each update, sets it to that of the next.
    `peak` is the rate that the optimizer has now unless it is given. Raises SettingError for impossible steps.
    `load_state_dict` sets the optimizer's rate: load the optimizer's state before.
    """

    counts: tuple[str, ...] = ("taken",)
    settings: tuple[str, ...] = ("peak",)

    def __init__(self, optimizer: Any, steps: int, *, warmup: int = 0, peak: float | None = None) -> None:
        where = type(self).__name__
        if not hasattr(optimizer, "lr"):
            raise NeedleError(f"[{where}] needs an optimizer first, got a {type(optimizer).__name__}")
        steps, warmup = plain_number(steps), plain_number(warmup)
        if not isinstance(steps, INTEGERS) or not isinstance(warmup, INTEGERS):
            raise SettingError(f"[{where}] steps and warmup must be whole numbers, got {steps!r} and {warmup!r}")
        if steps < 1 or not 0 <= warmup <= steps:
            raise SettingError(f"[{where}] needs at least 1 step and a warmup within them, got {steps} and {warmup}")
        self.optimizer = optimizer
        self.steps = steps
        self.warmup = warmup
        self.peak = number(where, "peak", optimizer.lr if peak is None else peak)
        self.taken = 0
        optimizer.lr = self.lr

    def __repr__(self) -> str:
        optimizer = [type(self.optimizer).__name__] if hasattr(self, "optimizer") else []
        return reprs.call(self, [*optimizer, *reprs.settings(self, every=True)], f"step {getattr(self, 'taken', 0)}")

    def rate(self, step: int) -> float:
        """The learning rate of update number `step`, counted from 0."""
        raise NotImplementedError

    @property
    def lr(self) -> float:
        """The rate of the coming update; after the last one, its rate."""
        return self.rate(min(self.taken, self.steps - 1))

    def step(self) -> None:
        """An update was made: set the rate of the next. Raises NeedleError when that one was beyond the schedule."""
        self.check()
        self.taken += 1
        self.optimizer.lr = self.lr

    def check(self) -> None:
        """Raise NeedleError unless the schedule covers another update."""
        if self.taken >= self.steps:
            raise NeedleError(
                f"[{type(self).__name__}] the schedule ends after {self.steps} steps, this is step {self.taken + 1}: "
                "give it as many steps as there are updates, epochs * len(loader) where each batch is one"
            )

    def _arrays(self) -> State:
        """The coming update's rate where that was set by hand."""
        return {} if self.optimizer.lr == self.lr else {"lr": numpy.array(float(self.optimizer.lr))}

    def _restore(self, numbers: dict[str, Any], arrays: Mapping[str, Any]) -> None:
        where = type(self).__name__
        if numbers["taken"] > self.steps:
            raise NeedleError(f"[{where}] a schedule of {self.steps} steps cannot go on after step {numbers['taken']}")
        by_hand = stored(where, arrays, "lr", LOWEST) if "lr" in arrays else None
        super()._restore(numbers, {})
        self.optimizer.lr = self.lr if by_hand is None else by_hand


class _Decay(Schedule):
    """Up to the peak over `warmup` steps, then to `final`."""

    def __init__(
        self, optimizer: Any, steps: int, warmup: int = 0, final: float = 0.0, *, peak: float | None = None
    ) -> None:
        self.final = number(type(self).__name__, "final", final)
        super().__init__(optimizer, steps, warmup=warmup, peak=peak)


class CosineSchedule(_Decay):
    """`cosine`: up to the peak over `warmup` steps, then down to `final` along half a cosine."""

    def rate(self, step: int) -> float:
        return cosine(step, self.steps, self.peak, self.final, self.warmup)


class LinearSchedule(_Decay):
    """`linear`: up to the peak over `warmup` steps, then down to `final` on a straight line."""

    def rate(self, step: int) -> float:
        return linear(step, self.steps, self.peak, self.final, self.warmup)


class LinearWarmup(Schedule):
    """peak (k + 1) / warmup over the first `warmup` steps, then the peak."""

    def __init__(self, optimizer: Any, steps: int, warmup: int, *, peak: float | None = None) -> None:
        super().__init__(optimizer, steps, warmup=warmup, peak=peak)

    def rate(self, step: int) -> float:
        return self.peak * min(1.0, (step + 1) / max(1, self.warmup))


class OneCycle(Schedule):
    """`one_cycle`: from peak / start_factor up over the first `rise` of the steps, then far down, along cosines.

    Raises SettingError unless both factors are greater than 0.
    """

    def __init__(
        self, optimizer: Any, steps: int, rise: float = 0.3, start_factor: float = 25.0, final_factor: float = 1e4,
        *, peak: float | None = None,
    ) -> None:  # fmt: skip
        self.rise = number("OneCycle", "rise", rise)
        self.start_factor = _factor("start_factor", start_factor)
        self.final_factor = _factor("final_factor", final_factor)
        super().__init__(optimizer, steps, peak=peak)

    def rate(self, step: int) -> float:
        return one_cycle(step, self.steps, self.peak, self.rise, self.start_factor, self.final_factor)


def _factor(name: str, value: float) -> float:
    factor = number("OneCycle", name, value)
    if not factor > 0:
        raise SettingError(f"[OneCycle] {name} must be a number greater than 0, got {factor!r}")
    return factor


class StepDecay(Schedule):
    """peak factor^n, n the number of milestones in `at` (steps, counted from 0) that are reached.

    Raises SettingError for milestones that are no numbers, or not several.
    """

    def __init__(
        self, optimizer: Any, steps: int, at: Sequence[int], factor: float = 0.1, *, peak: float | None = None
    ) -> None:
        if not isinstance(at, Iterable):
            raise SettingError(f"[StepDecay] at must be the steps, such as [{at}], got {at!r:.50}")
        self.at = sorted(number("StepDecay", "at", step) for step in at)
        self.factor = number("StepDecay", "factor", factor)
        super().__init__(optimizer, steps, peak=peak)

    def rate(self, step: int) -> float:
        return self.peak * self.factor ** sum(step >= milestone for milestone in self.at)
