"""Learning rates as functions of the step: set `optimizer.lr` to the value before each step."""

from __future__ import annotations

import math


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
