"""Optimizer steps over many numpy arrays at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Arrays = Sequence[np.ndarray]


def sgd_step(
    params: Arrays, grads: Arrays, velocities: Arrays, lr: float, momentum: float = 0.0, weight_decay: float = 0.0
) -> list[np.ndarray]:
    """New p - lr u for each parameter p, where u = momentum u + (1 - momentum) (g + weight_decay p) in `velocities`.

    With no `velocities` u is the gradient term alone.
    """
    steps = [g + weight_decay * p if weight_decay else g for p, g in zip(params, grads, strict=True)]
    for u, step in zip(velocities, steps, strict=bool(velocities)):
        u *= momentum
        u += (1 - momentum) * step
    return [p - lr * u for p, u in zip(params, velocities or steps, strict=True)]


def momentum_step(
    params: Arrays, grads: Arrays, velocities: Arrays, lr: float, momentum: float = 0.9, weight_decay: float = 0.0,
    nesterov: bool = True,
) -> list[np.ndarray]:  # fmt: skip
    """New p - lr (d + momentum u), or p - lr u without `nesterov`, for each p; u = momentum u + d in place.

    d = g + weight_decay p.
    """
    outs = []
    for p, g, u in zip(params, grads, velocities, strict=True):
        d = g + weight_decay * p if weight_decay else g
        u *= momentum
        u += d
        outs.append(p - lr * (d + momentum * u if nesterov else u))
    return outs


def adam_step(
    params: Arrays, grads: Arrays, m: Arrays, v: Arrays, t: int, lr: float, beta1: float = 0.9, beta2: float = 0.999,
    eps: float = 1e-8, weight_decay: float = 0.0, decoupled: bool = False,
) -> list[np.ndarray]:  # fmt: skip
    """New p - lr mhat / (sqrt(vhat) + eps) for each p; m = b1 m + (1 - b1) g and v = b2 v + (1 - b2) g^2 in place.

    mhat = m / (1 - b1^t), vhat = v / (1 - b2^t), t counts from 1. Weight decay adds weight_decay p to g; `decoupled`
    takes lr weight_decay p off p first instead (AdamW).
    """
    outs = []
    for p, g, first, second in zip(params, grads, m, v, strict=True):
        if weight_decay and decoupled:
            p = p * (1 - lr * weight_decay)
        elif weight_decay:
            g = g + weight_decay * p
        first *= beta1
        first += (1 - beta1) * g
        second *= beta2
        second += (1 - beta2) * g * g
        outs.append(p - lr / (1 - beta1**t) * first / (np.sqrt(second / (1 - beta2**t)) + eps))
    return outs


def squared_norm(arrays: Arrays) -> float:
    """The sum of the squares of all elements of all arrays, squared in their own dtype (float16 in float32)."""
    with np.errstate(over="ignore"):
        return sum(float(np.sum(np.square(_wide(x)), dtype=np.float64)) for x in arrays)


def _wide(x: np.ndarray) -> np.ndarray:
    return x.astype("float32") if x.dtype == "float16" else x
