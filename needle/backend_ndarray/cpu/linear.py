"""Matrix products and convolution of NDArrays on cpu(). Operands may be views: the kernels read any strides."""

from __future__ import annotations

from typing import Any

from needle.backend_ndarray.ndarray import NDArray
from needle.errors import ShapeError


def _view(x: NDArray) -> tuple[Any, ...]:
    return x._handle, x._shape, x._strides, x._offset


def _batch(a: NDArray, b: NDArray) -> tuple[int, ...]:
    """The batch axes of a @ b: those of a and b broadcast against each other."""
    first, second = a._shape[:-2], b._shape[:-2]
    if first == second or not second:
        return first
    axes = max(len(first), len(second))
    first, second = (1,) * (axes - len(first)) + first, (1,) * (axes - len(second)) + second
    return tuple(m if n == 1 else n for n, m in zip(first, second, strict=True))


def matmul(a: NDArray, b: NDArray) -> NDArray:
    """y = a b: (..., m, k) @ (..., k, n) -> (..., m, n), batch axes broadcast as in numpy."""
    if a.ndim < 2 or b.ndim < 2:
        raise ShapeError(f"[matmul] needs operands of two or more axes, got {a._shape} @ {b._shape}")
    out = NDArray.make((*_batch(a, b), a._shape[-2], b._shape[-1]), device=a._device)
    a._device.mod.matmul_strided(*_view(a), *_view(b), out._handle)
    return out


def _outputs(size: int, kernel: int, stride: int, padding: int) -> int:
    return max(0, size + 2 * padding - kernel) // max(stride, 1) + 1


def conv(x: NDArray, w: NDArray, stride: int = 1, padding: int = 1) -> NDArray:
    """y[n, i, j, o] = sum over kernel row k, column l, channel c of x[n, i s + k - p, j s + l - p, c] w[k, l, c, o].

    x (N, H, W, Ci), zero outside; w (K, K, Ci, Co) -> (N, Ho, Wo, Co) with Ho = (H + 2 p - K) // s + 1.
    """
    if x.ndim != 4 or w.ndim != 4:
        raise ShapeError(f"[conv] needs an input and a weight of four axes, got {x._shape} and {w._shape}")
    (n, height, width, _), kernel = x._shape, w._shape[0]
    shape = (n, _outputs(height, kernel, stride, padding), _outputs(width, kernel, stride, padding), w._shape[3])
    out = NDArray.make(shape, device=x._device)
    x._device.mod.conv(*_view(x), w.compact()._handle, w._shape, stride, padding, out._handle)
    return out


def conv_input_gradient(g: NDArray, w: NDArray, stride: int, padding: int, height: int, width: int) -> NDArray:
    """dx of y = conv(x, w): g (N, Ho, Wo, Co), w (K, K, Ci, Co) -> (N, height, width, Ci)."""
    if g.ndim != 4 or w.ndim != 4:
        raise ShapeError(f"[conv_input_gradient] needs two operands of four axes, got {g._shape} and {w._shape}")
    out = NDArray.make((g._shape[0], height, width, w._shape[2]), device=g._device)
    weight = (w.compact()._handle, w._shape)
    g._device.mod.conv_input_gradient(*_view(g), *weight, stride, padding, height, width, out._handle)
    return out


def conv_weight_gradient(x: NDArray, g: NDArray, stride: int, padding: int, kernel: int) -> NDArray:
    """dw of y = conv(x, w): x (N, H, W, Ci), g (N, Ho, Wo, Co) -> (kernel, kernel, Ci, Co)."""
    if x.ndim != 4 or g.ndim != 4:
        raise ShapeError(f"[conv_weight_gradient] needs two operands of four axes, got {x._shape} and {g._shape}")
    out = NDArray.make((kernel, kernel, x._shape[3], g._shape[3]), device=x._device)
    x._device.mod.conv_weight_gradient(*_view(x), *_view(g), stride, padding, kernel, out._handle)
    return out
