"""Optimizer steps that change numpy arrays in place."""

from __future__ import annotations

import numpy as np


def sgd_step(
    param: np.ndarray, grad: np.ndarray, velocity: np.ndarray | None, lr: float, momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> None:  # fmt: skip
    """u = momentum u + (1 - momentum) (g + weight_decay p); p = p - lr u, in place in `param` and `velocity`.

    Without a velocity u is the gradient term alone.
    """
    step = grad + weight_decay * param if weight_decay else grad
    if velocity is not None:
        velocity *= momentum
        velocity += (1 - momentum) * step
        step = velocity
    param -= lr * step


def adam_step(
    param: np.ndarray, grad: np.ndarray, m: np.ndarray, v: np.ndarray, t: int, lr: float, beta1: float = 0.9,
    beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0, decoupled: bool = False,
) -> None:  # fmt: skip
    """m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; p = p - lr mhat / (sqrt(vhat) + eps), in place in p, m and v.

    mhat = m / (1 - b1^t), vhat = v / (1 - b2^t), t counts from 1. Weight decay adds weight_decay p to g; `decoupled`
    takes lr weight_decay p off p first instead (AdamW).
    """
    if weight_decay and decoupled:
        param *= 1 - lr * weight_decay
    elif weight_decay:
        grad = grad + weight_decay * param
    m *= beta1
    m += (1 - beta1) * grad
    v *= beta2
    v += (1 - beta2) * grad * grad
    param -= lr / (1 - beta1**t) * m / (np.sqrt(v / (1 - beta2**t)) + eps)
