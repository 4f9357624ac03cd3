"""Group and root-mean-square normalisation on NDArrays, by the compiled kernels; see the twins in `plain`."""

from __future__ import annotations

from math import prod

from needle.errors import ShapeError

from .. import ndarray_backend_cpu as kernels
from ..ndarray import NDArray


def _sizes(where: str, x: NDArray, groups: int, *per_channel: NDArray) -> tuple[int, int, int, int]:
    if x.ndim < 2 or x.size == 0 or groups < 1 or x.shape[-1] % groups or any(
        p.shape != x.shape[-1:] for p in per_channel
    ):
        got = ", ".join(str(p.shape) for p in per_channel)
        needs = f"x (N, ..., C), C numbers of each parameter and a C that {groups} divides"
        raise ShapeError(f"[{where}] needs {needs}, got {x.shape} and {got}")
    return x.shape[0], prod(x.shape[1:-1]), x.shape[-1], groups


def group_norm(
    x: NDArray, weight: NDArray, bias: NDArray, groups: int, eps: float = 1e-5
) -> tuple[NDArray, NDArray, NDArray]:
    """y = (x - mean) rstd weight + bias, mean and rstd = 1 / sqrt(var + eps) of each group of channels of each image.

    x (N, ..., C), weight and bias (C,). Returns y, mean (N, groups), rstd (N, groups).
    """
    sizes = _sizes("group_norm", x, groups, weight, bias)
    y = NDArray.make(x.shape, device=x.device)
    mean, rstd = (NDArray.make((x.shape[0], groups), device=x.device) for _ in range(2))
    given = [p.compact()._handle for p in (x, weight, bias)]
    kernels.group_norm(*given, y._handle, mean._handle, rstd._handle, *sizes, eps)
    return y, mean, rstd


def group_norm_gradient(
    g: NDArray, x: NDArray, weight: NDArray, mean: NDArray, rstd: NDArray, groups: int
) -> tuple[NDArray, NDArray, NDArray]:
    """dx = rstd (h - mean(h) - n mean(h n)), dweight = sum(g n), dbias = sum(g); n = (x - mean) rstd, h = g weight."""
    sizes = _sizes("group_norm_gradient", x, groups, weight)
    if g.shape != x.shape:
        raise ShapeError(f"[group_norm_gradient] g must have the shape of x, got {g.shape} and {x.shape}")
    dx = NDArray.make(x.shape, device=x.device)
    dweight, dbias = (NDArray.make(weight.shape, device=x.device) for _ in range(2))
    given = [p.compact()._handle for p in (g, x, weight, mean, rstd)]
    kernels.group_norm_gradient(*given, dx._handle, dweight._handle, dbias._handle, *sizes)
    return dx, dweight, dbias


def _rows(where: str, x: NDArray, weight: NDArray) -> tuple[int, int]:
    if not x.shape or x.size == 0 or weight.shape != x.shape[-1:]:
        raise ShapeError(f"[{where}] needs x (..., D) and a weight (D,), got {x.shape} and {weight.shape}")
    return x.size // x.shape[-1], x.shape[-1]


def rms_norm(x: NDArray, weight: NDArray, eps: float = 1e-5) -> tuple[NDArray, NDArray]:
    """y = x rstd weight, rstd = 1 / sqrt(mean of squares + eps) per row (over the last axis).

    x (..., D), weight (D,). Returns y, rstd (..., 1).
    """
    rows, cols = _rows("rms_norm", x, weight)
    y, rstd = NDArray.make(x.shape, device=x.device), NDArray.make((*x.shape[:-1], 1), device=x.device)
    kernels.rms_norm(x.compact()._handle, weight.compact()._handle, y._handle, rstd._handle, rows, cols, eps)
    return y, rstd


def rms_norm_gradient(g: NDArray, x: NDArray, weight: NDArray, rstd: NDArray) -> tuple[NDArray, NDArray]:
    """dx = rstd (h - n mean(h n)), dweight = sum(g n); n = x rstd, h = g weight."""
    rows, cols = _rows("rms_norm_gradient", x, weight)
    if g.shape != x.shape:
        raise ShapeError(f"[rms_norm_gradient] g must have the shape of x, got {g.shape} and {x.shape}")
    dx, dweight = NDArray.make(x.shape, device=x.device), NDArray.make((cols,), device=x.device)
    given = [p.compact()._handle for p in (g, x, weight, rstd)]
    kernels.rms_norm_gradient(*given, dx._handle, dweight._handle, rows, cols)
    return dx, dweight
