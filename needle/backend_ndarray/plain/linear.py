"""Matrix products and convolution on numpy arrays of any float dtype."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from needle.errors import ShapeError


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """y = a b: (..., m, k) @ (..., k, n) -> (..., m, n), batch axes broadcast."""
    if a.ndim < 2 or b.ndim < 2:
        raise ShapeError(f"[matmul] needs operands of two or more axes, got {a.shape} @ {b.shape}")
    try:
        if b.ndim == 2 and a.ndim > 2 and a.flags.c_contiguous:  # one product, not one for each of the batch
            return np.matmul(a.reshape(prod(a.shape[:-1]), a.shape[-1]), b).reshape(*a.shape[:-1], b.shape[-1])
        return np.matmul(a, b)
    except ValueError as error:
        raise ShapeError(f"[matmul] sizes must agree, got {a.shape} @ {b.shape}") from error


def affine(x: np.ndarray, w: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """y = x w + bias: (..., n) @ (n, m) -> (..., m), a bias of m numbers for each row."""
    y = matmul(x, w)
    if w.ndim != 2 or bias.size != w.shape[1] or bias.shape[-1:] != w.shape[1:]:
        needed = "x (..., n), w (n, m) and a bias of m numbers"
        raise ShapeError(f"[affine] needs {needed}, got {x.shape}, {w.shape}, {bias.shape}")
    return y + bias.reshape(-1)


def _outputs(where: str, size: int, kernel: int, stride: int, padding: int) -> int:
    if kernel < 1 or stride < 1 or padding < 0 or size + 2 * padding < kernel:
        given = f"a kernel of {kernel} with stride {stride} on {size} padded by {padding}"
        raise ShapeError(f"[{where}] needs a positive kernel that fits and a positive stride, got {given}")
    return (size + 2 * padding - kernel) // stride + 1


def _check(
    where: str, x: tuple[int, ...], w: tuple[int, ...], y: tuple[int, ...] | None, stride: int, padding: int
) -> tuple[int, ...]:
    """The shape of the output, after checking x, w and, where it is given, y against each other."""
    if len(x) != 4 or len(w) != 4 or w[0] != w[1] or x[3] != w[2]:
        raise ShapeError(f"[{where}] needs an input (N, H, W, Ci) and a weight (K, K, Ci, Co), got {x} and {w}")
    shape = (x[0], _outputs(where, x[1], w[0], stride, padding), _outputs(where, x[2], w[0], stride, padding), w[3])
    if y is not None and y != shape:
        raise ShapeError(f"[{where}] the gradient must be {shape}, got {y}")
    return shape


def framed(x: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Images (N, H, W, C) with `rows` of zeros above and below, `columns` left and right."""
    return np.pad(x, ((0, 0), (rows, rows), (columns, columns), (0, 0)))


def taps(
    padded: np.ndarray, kernel: int, stride: int, rows: int, columns: int, dilation: int = 1
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Each tap (k, l) of a kernel with the view (N, rows, columns, C) of padded images that it is multiplied with."""
    for k in range(kernel):
        for j in range(kernel):
            down = slice(k * dilation, k * dilation + (rows - 1) * stride + 1, stride)
            across = slice(j * dilation, j * dilation + (columns - 1) * stride + 1, stride)
            yield k, j, padded[:, down, across]


def conv(x: np.ndarray, w: np.ndarray, stride: int = 1, padding: int = 1) -> np.ndarray:
    """y[n, i, j, o] = sum over kernel row k, column l, channel c of x[n, i s + k - p, j s + l - p, c] w[k, l, c, o].

    x (N, H, W, Ci), zero outside; w (K, K, Ci, Co) -> (N, Ho, Wo, Co) with Ho = (H + 2 p - K) // s + 1.
    """
    shape = _check("conv", x.shape, w.shape, None, stride, padding)
    y = np.zeros(shape, np.result_type(x, w))
    for k, j, view in taps(framed(x, padding, padding), w.shape[0], stride, shape[1], shape[2]):
        y += view @ w[k, j]
    return y


def conv_input_gradient(g: np.ndarray, w: np.ndarray, stride: int, padding: int, height: int, width: int) -> np.ndarray:
    """dx of y = conv(x, w): g (N, Ho, Wo, Co), w (K, K, Ci, Co) -> (N, height, width, Ci)."""
    if g.ndim != 4 or w.ndim != 4:
        raise ShapeError(f"[conv_input_gradient] needs two operands of four axes, got {g.shape} and {w.shape}")
    x_shape = (g.shape[0], height, width, w.shape[2])
    _, rows, columns, _ = _check("conv_input_gradient", x_shape, w.shape, g.shape, stride, padding)
    padded = np.zeros((g.shape[0], height + 2 * padding, width + 2 * padding, w.shape[2]), np.result_type(g, w))
    for k, j, view in taps(padded, w.shape[0], stride, rows, columns):
        view += g @ w[k, j].T
    return np.ascontiguousarray(padded[:, padding : padding + height, padding : padding + width])


def conv_weight_gradient(x: np.ndarray, g: np.ndarray, stride: int, padding: int, kernel: int) -> np.ndarray:
    """dw of y = conv(x, w): x (N, H, W, Ci), g (N, Ho, Wo, Co) -> (kernel, kernel, Ci, Co)."""
    if x.ndim != 4 or g.ndim != 4:
        raise ShapeError(f"[conv_weight_gradient] needs two operands of four axes, got {x.shape} and {g.shape}")
    w_shape = (kernel, kernel, x.shape[3], g.shape[3])
    _, rows, columns, _ = _check("conv_weight_gradient", x.shape, w_shape, g.shape, stride, padding)
    dw = np.empty(w_shape, np.result_type(x, g))
    for k, j, view in taps(framed(x, padding, padding), kernel, stride, rows, columns):
        dw[k, j] = np.tensordot(view, g, axes=([0, 1, 2], [0, 1, 2]))
    return dw
