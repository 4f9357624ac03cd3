"""Convolution in groups of channels, dilated, rows and columns padded apart, on numpy arrays of any float dtype."""

from __future__ import annotations

import numpy as np

from needle.errors import ShapeError

from .linear import framed, taps

Pair = tuple[int, int]


def _check(
    where: str, x: np.ndarray, w: tuple[int, ...], stride: int, padding: Pair, groups: int, dilation: int
) -> Pair:
    """(H', W'), after checking the input x (N, H, W, Ci) against the shape of a weight."""
    if x.ndim != 4 or len(w) != 4 or w[0] != w[1] or groups < 1 or x.shape[3] != w[2] * groups or w[3] % groups:
        given = f"{x.shape} and {w} in {groups} groups"
        raise ShapeError(f"[{where}] needs an input (N, H, W, Ci) and a weight (K, K, Ci / groups, Co), got {given}")
    reach = (w[0] - 1) * dilation + 1
    if stride < 1 or dilation < 1 or any(n + 2 * p < reach for n, p in zip(x.shape[1:3], padding, strict=True)):
        raise ShapeError(f"[{where}] a kernel of {reach} does not fit {x.shape} padded by {padding}, stride {stride}")
    rows, columns = ((n + 2 * p - reach) // stride + 1 for n, p in zip(x.shape[1:3], padding, strict=True))
    return rows, columns


def _apart(x: np.ndarray, groups: int) -> np.ndarray:
    """x (..., C) as (groups, ..., C / groups), a view."""
    return np.moveaxis(x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups), -2, 0)


def _together(x: np.ndarray) -> np.ndarray:
    """The inverse of `_apart`."""
    back = np.moveaxis(x, 0, -2)
    return np.ascontiguousarray(back.reshape(*back.shape[:-2], back.shape[-2] * back.shape[-1]))


def grouped_conv(x: np.ndarray, w: np.ndarray, stride: int, padding: Pair, groups: int, dilation: int) -> np.ndarray:
    """y[..., o] = conv(x of o's group, w[..., o]): x (N, H, W, Ci), w (K, K, Ci / groups, Co) -> (N, H', W', Co)."""
    size = _check("grouped_conv", x, w.shape, stride, padding, groups, dilation)
    y = np.zeros((groups, x.shape[0], *size, w.shape[3] // groups), np.result_type(x, w))
    for k, j, view in taps(framed(x, *padding), w.shape[0], stride, *size, dilation):
        y += _apart(view, groups) @ _apart(w[k, j], groups)[:, None, None]
    return _together(y)


def grouped_conv_input_gradient(
    g: np.ndarray, w: np.ndarray, stride: int, padding: Pair, height: int, width: int, groups: int, dilation: int
) -> np.ndarray:
    """dx (N, height, width, Ci) of y = grouped_conv(x, w), for g (N, H', W', Co)."""
    dx = np.zeros((g.shape[0], height, width, w.shape[2] * groups), np.result_type(g, w))
    size = _check("grouped_conv_input_gradient", dx, w.shape, stride, padding, groups, dilation)
    padded, apart = framed(dx, *padding), _apart(g, groups)
    for k, j, view in taps(padded, w.shape[0], stride, *size, dilation):
        read = _apart(view, groups)
        read += apart @ np.swapaxes(_apart(w[k, j], groups), 1, 2)[:, None, None]
    return np.ascontiguousarray(padded[:, padding[0] : padding[0] + height, padding[1] : padding[1] + width])


def grouped_conv_weight_gradient(
    x: np.ndarray, g: np.ndarray, stride: int, padding: Pair, kernel: int, groups: int, dilation: int
) -> np.ndarray:
    """dw (kernel, kernel, Ci / groups, Co) of y = grouped_conv(x, w), for x (N, H, W, Ci) and g (N, H', W', Co)."""
    shape = (kernel, kernel, x.shape[3] // groups, g.shape[3])
    size = _check("grouped_conv_weight_gradient", x, shape, stride, padding, groups, dilation)
    dw, apart = np.empty(shape, np.result_type(x, g)), _apart(g, groups)
    for k, j, view in taps(framed(x, *padding), kernel, stride, *size, dilation):
        dw[k, j] = _together(np.einsum("gnijc,gnijo->gco", _apart(view, groups), apart))
    return dw
