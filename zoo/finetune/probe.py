"""The learning rate "auto": a few short runs say it, the lowest rate of those that bring the loss down nearly as far as
the best. In a short run high rates look better than they are in a long one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy

from needle.errors import NeedleError

from .rounds import Rounds
from .step import FineTuning
from .task import Task

LADDER = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
LOWEST = {"lora": 1, "full": 0, "head": 2}  # the first rung that is tried
RUNGS = 4  # that are tried at least; while the highest is the best, one more
ENOUGH = 0.8  # of the best run's gain
SHARE = 20  # a short run has this part of the run's steps
LEAST, MOST = 8, 40
ROWS = 64  # of what is held out, to measure on

Rates = tuple[tuple[float, float | None], ...]


def steps_of(steps: int) -> int:
    """The steps of one short run before a run of so many."""
    return min(steps, MOST, max(LEAST, steps // SHARE))


def probe(task: Task, stop: Callable[[], bool]) -> Rates | None:
    """The losses to which the rates of LADDER lead, each in a short run of its own, after that of the beginning, as of
    rate 0; None where it was told to stop.

    Each begins where the run will and has its schedule, shortened. The loss is that of some of what is held out, or
    where nothing is, of the last half of the steps; None where it was not finite. The model is left as it was.
    """
    steps, batch = steps_of(task.steps()), task.batch()
    start = task.learned().state_dict()
    found: list[tuple[float, float | None]] = [(0.0, task.evaluate(ROWS).get("loss"))]
    for rung, rate in enumerate(LADDER[LOWEST[task.config.method] :]):
        if rung >= RUNGS and best(found)[1] < found[-1][0]:
            break
        losses = _short(task, rate, steps, batch, stop)
        if stop():
            task.learned().load_state_dict(start)
            return None
        finite = all(map(math.isfinite, losses)) and len(losses) == steps
        loss = task.evaluate(ROWS).get("loss", float(numpy.mean(losses[steps // 2 :]))) if finite else math.inf
        if found[0][1] is None and losses and math.isfinite(losses[0]):  # nothing is held out
            found[0] = (0.0, losses[0])
        found.append((rate, loss if math.isfinite(loss) else None))
        task.learned().load_state_dict(start)
    return tuple(found)


def _short(task: Task, rate: float, steps: int, batch: int, stop: Callable[[], bool]) -> list[float]:
    """The losses of a short run; fewer than `steps` where it was told to stop, or its gradients were not finite."""
    numpy.random.seed(task.config.seed)
    step, losses = FineTuning(task, rate, steps), list[float]()
    task.model.train()
    for examples in Rounds(task.loader(batch), steps):
        try:
            losses.append(step(*examples)["loss"])
        except NeedleError:  # of gradients that are not finite
            break
        if stop():
            break
    task.model.eval()
    return losses


def best(rates: Sequence[tuple[float, float | None]]) -> tuple[float, float]:
    """The lowest loss and its rate, of several the lowest. Raises NeedleError where none was finite."""
    finite = [(loss, rate) for rate, loss in rates[1:] if loss is not None]
    if not finite:
        raise NeedleError("[finetune] no learning rate gave a finite loss: give one, lower than those tried")
    return min(finite)


def chosen(rates: Rates) -> float:
    """The lowest rate whose run has at least ENOUGH of the gain of the best one."""
    lowest, rate = best(rates)
    start = rates[0][1]
    if start is None or lowest >= start:
        return rate
    near = [each for each, loss in rates[1:] if loss is not None and start - loss >= ENOUGH * (start - lowest)]
    return min(near)
