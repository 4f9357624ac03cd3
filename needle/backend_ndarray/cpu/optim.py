"""Optimizer steps over many NDArrays at once, by the compiled kernels: one call, one pass over memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from needle.errors import ShapeError

from .. import ndarray_backend_cpu as kernels
from ..ndarray import NDArray

Arrays = Sequence[NDArray]


def _handles(where: str, params: Arrays, read: Sequence[Arrays], written: Sequence[Arrays]) -> list[list[Any]]:
    """The memory of each list of arrays, those to be read made compact. Raises ShapeError unless they fit `params`."""
    for arrays, changed in (*((x, False) for x in read), *((x, True) for x in written)):
        for param, x in zip(params, arrays, strict=True):
            if x.shape != param.shape or (changed and not x.is_compact()):
                raise ShapeError(
                    f"[{where}] needs arrays of the parameter's shape {param.shape}, compact where they are written, "
                    f"got {x.shape}, strides {x.strides}"
                )
    return [
        *([x.compact()._handle for x in arrays] for arrays in (params, *read)),
        *([x._handle for x in arrays] for arrays in written),
    ]


def sgd_step(
    params: Arrays, grads: Arrays, velocities: Arrays, lr: float, momentum: float = 0.0, weight_decay: float = 0.0
) -> list[NDArray]:
    """New p - lr u for each parameter p, where u = momentum u + (1 - momentum) (g + weight_decay p) in `velocities`.

    With no `velocities` u is the gradient term alone.
    """
    outs = [NDArray.make(p.shape, device=p.device) for p in params]
    p, g, *u = _handles("sgd_step", params, [grads], [velocities] if velocities else [])
    kernels.sgd_step(p, [x._handle for x in outs], g, u[0] if u else [], lr, momentum, weight_decay)
    return outs


def momentum_step(
    params: Arrays, grads: Arrays, velocities: Arrays, lr: float, momentum: float = 0.9, weight_decay: float = 0.0,
    nesterov: bool = True,
) -> list[NDArray]:  # fmt: skip
    """New p - lr (d + momentum u), or p - lr u without `nesterov`, for each p; u = momentum u + d in place.

    d = g + weight_decay p.
    """
    outs = [NDArray.make(p.shape, device=p.device) for p in params]
    p, g, u = _handles("momentum_step", params, [grads], [velocities])
    kernels.momentum_step(p, [x._handle for x in outs], g, u, lr, momentum, weight_decay, nesterov)
    return outs


def adam_step(
    params: Arrays, grads: Arrays, m: Arrays, v: Arrays, t: int, lr: float, beta1: float = 0.9, beta2: float = 0.999,
    eps: float = 1e-8, weight_decay: float = 0.0, decoupled: bool = False,
) -> list[NDArray]:  # fmt: skip
    """New p - lr mhat / (sqrt(vhat) + eps) for each p; m = b1 m + (1 - b1) g and v = b2 v + (1 - b2) g^2 in place.

    mhat = m / (1 - b1^t), vhat = v / (1 - b2^t), t counts from 1. Weight decay adds weight_decay p to g; `decoupled`
    takes lr weight_decay p off p first instead (AdamW).
    """
    outs = [NDArray.make(p.shape, device=p.device) for p in params]
    p, g, first, second = _handles("adam_step", params, [grads], [m, v])
    out = [x._handle for x in outs]
    kernels.adam_step(p, out, g, first, second, t, lr, beta1, beta2, eps, weight_decay, decoupled)
    return outs


def squared_norm(arrays: Arrays) -> float:
    """The sum of the squares of all elements of all arrays."""
    return kernels.squared_norm([x.compact()._handle for x in arrays])
