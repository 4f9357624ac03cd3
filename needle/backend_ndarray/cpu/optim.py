"""Optimizer steps that change NDArrays in place, by the compiled kernels: one pass over memory each."""

from __future__ import annotations

from needle.errors import ShapeError

from .. import ndarray_backend_cpu as kernels
from ..ndarray import NDArray


def _check(where: str, grad: NDArray, *written: NDArray | None) -> None:
    for x in written:
        if x is not None and not (x.is_compact() and x.shape == grad.shape):
            raise ShapeError(
                f"[{where}] needs compact arrays of the shape of grad, {grad.shape}, got {x.shape}, strides {x.strides}"
            )


def sgd_step(
    param: NDArray, grad: NDArray, velocity: NDArray | None, lr: float, momentum: float = 0.0, weight_decay: float = 0.0
) -> None:
    """u = momentum u + (1 - momentum) (g + weight_decay p); p = p - lr u, in place in `param` and `velocity`.

    Without a velocity u is the gradient term alone.
    """
    _check("sgd_step", grad, param, velocity)
    u = None if velocity is None else velocity._handle
    kernels.sgd_step(param._handle, grad.compact()._handle, u, lr, momentum, weight_decay)


def adam_step(
    param: NDArray, grad: NDArray, m: NDArray, v: NDArray, t: int, lr: float, beta1: float = 0.9, beta2: float = 0.999,
    eps: float = 1e-8, weight_decay: float = 0.0, decoupled: bool = False,
) -> None:  # fmt: skip
    """m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; p = p - lr mhat / (sqrt(vhat) + eps), in place in p, m and v.

    mhat = m / (1 - b1^t), vhat = v / (1 - b2^t), t counts from 1. Weight decay adds weight_decay p to g; `decoupled`
    takes lr weight_decay p off p first instead (AdamW).
    """
    _check("adam_step", grad, param, m, v)
    given = (param._handle, grad.compact()._handle, m._handle, v._handle)
    kernels.adam_step(*given, t, lr, beta1, beta2, eps, weight_decay, decoupled)
