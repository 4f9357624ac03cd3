"""Batch and layer normalisation on NDArrays, by the compiled kernels; see the twins in `plain`."""

from __future__ import annotations

from needle.errors import ShapeError

from .. import ndarray_backend_cpu as kernels
from ..layout import is_dense
from ..ndarray import NDArray


def _channels_last(x: NDArray) -> bool:
    """Whether memory is rows of C channels, in whatever order the rows come: nothing needs to be copied then."""
    return x._strides[-1] == 1 and x._offset == 0 and x._handle.size == x.size and is_dense(x._shape, x._strides)


def _sizes(where: str, x: NDArray, *per_channel: NDArray) -> tuple[int, int]:
    if not x.shape or x.size == 0 or any(p.shape != x.shape[-1:] for p in per_channel):
        got = ", ".join(str(p.shape) for p in per_channel)
        raise ShapeError(f"[{where}] needs x (..., C) and C numbers of each parameter, got {x.shape} and {got}")
    return x.size // x.shape[-1], x.shape[-1]


def _vectors(count: int, size: int, like: NDArray) -> list[NDArray]:
    return [NDArray.make((size,), device=like.device) for _ in range(count)]


def batch_norm(
    x: NDArray, weight: NDArray, bias: NDArray, eps: float = 1e-5
) -> tuple[NDArray, NDArray, NDArray]:
    """y = (x - mean) / sqrt(var + eps) weight + bias, mean and biased variance per channel (the last axis).

    x (..., C), weight and bias (C,). Returns y, in the memory order of x, mean (C,), var (C,).
    """
    rows, cols = _sizes("batch_norm", x, weight, bias)
    x = x if _channels_last(x) else x.compact()
    y = NDArray.make(x.shape, x.strides, x.device)
    mean, var = _vectors(2, cols, x)
    given = [x._handle, weight.compact()._handle, bias.compact()._handle]
    kernels.batch_norm(*given, y._handle, mean._handle, var._handle, rows, cols, eps)
    return y, mean, var


def batch_norm_inference(
    x: NDArray, weight: NDArray, bias: NDArray, mean: NDArray, var: NDArray, eps: float = 1e-5
) -> NDArray:
    """y = (x - mean) / sqrt(var + eps) weight + bias with given statistics; x (..., C), the others (C,).

    y has the memory order of x.
    """
    rows, cols = _sizes("batch_norm_inference", x, weight, bias, mean, var)
    x = x if _channels_last(x) else x.compact()
    y = NDArray.make(x.shape, x.strides, x.device)
    given = [p.compact()._handle for p in (weight, bias, mean, var)]
    kernels.batch_norm_inference(x._handle, *given, y._handle, rows, cols, eps)
    return y


def batch_norm_gradient(
    g: NDArray, x: NDArray, weight: NDArray, mean: NDArray, var: NDArray, eps: float = 1e-5
) -> tuple[NDArray, NDArray, NDArray]:
    """dx = weight r (g - mean(g) - n mean(g n)), dweight = sum(g n), dbias = sum(g).

    n = (x - mean) r, r = 1 / sqrt(var + eps); g and dx have the shape of x (..., C), the others (C,).
    """
    rows, cols = _sizes("batch_norm_gradient", x, weight, mean, var)
    if g.shape != x.shape:
        raise ShapeError(f"[batch_norm_gradient] g must have the shape of x, got {g.shape} and {x.shape}")
    if g.strides != x.strides or not _channels_last(x) or not _channels_last(g):
        g, x = g.compact(), x.compact()
    dx = NDArray.make(x.shape, x.strides, x.device)
    dweight, dbias = _vectors(2, cols, x)
    given = [p.compact()._handle for p in (weight, mean, var)]
    kernels.batch_norm_gradient(
        g._handle, x._handle, *given, dx._handle, dweight._handle, dbias._handle, rows, cols, eps
    )
    return dx, dweight, dbias


def layer_norm(
    x: NDArray, weight: NDArray, bias: NDArray, eps: float = 1e-5
) -> tuple[NDArray, NDArray, NDArray]:
    """y = (x - mean) rstd weight + bias, mean and rstd = 1 / sqrt(var + eps) per row (over the last axis).

    x (..., D), weight and bias (D,). Returns y, mean (..., 1), rstd (..., 1).
    """
    rows, cols = _sizes("layer_norm", x, weight, bias)
    y = NDArray.make(x.shape, device=x.device)
    mean, rstd = (NDArray.make((*x.shape[:-1], 1), device=x.device) for _ in range(2))
    given = [p.compact()._handle for p in (x, weight, bias)]
    kernels.layer_norm(*given, y._handle, mean._handle, rstd._handle, rows, cols, eps)
    return y, mean, rstd


def layer_norm_gradient(
    g: NDArray, x: NDArray, weight: NDArray, mean: NDArray, rstd: NDArray
) -> tuple[NDArray, NDArray, NDArray]:
    """dx = rstd (h - mean(h) - n mean(h n)), dweight = sum(g n), dbias = sum(g); n = (x - mean) rstd, h = g weight."""
    rows, cols = _sizes("layer_norm_gradient", x, weight)
    if g.shape != x.shape:
        raise ShapeError(f"[layer_norm_gradient] g must have the shape of x, got {g.shape} and {x.shape}")
    dx = NDArray.make(x.shape, device=x.device)
    dweight, dbias = _vectors(2, cols, x)
    given = [p.compact()._handle for p in (g, x, weight, mean, rstd)]
    kernels.layer_norm_gradient(*given, dx._handle, dweight._handle, dbias._handle, rows, cols)
    return dx, dweight, dbias
