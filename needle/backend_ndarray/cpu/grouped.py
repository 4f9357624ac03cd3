"""Convolution of NDArrays in groups of channels, with dilated kernels and with padding of rows and columns apart.

One channel to a group has a kernel of its own. Other groups are dense convolutions of slices; narrow groups are taken
together, block by block on the diagonal of one weight, to fill the 16 channels that those work on at once. A dilated
kernel is one with zeros in between.
"""

from __future__ import annotations

from collections.abc import Iterator

from needle.errors import ShapeError

from .. import ndarray_backend_cpu as kernels
from ..ndarray import NDArray
from . import linear

Pair = tuple[int, int]
WIDTH = 16  # channels that a dense convolution works on at once
ALL = slice(None)


def grouped_conv(x: NDArray, w: NDArray, stride: int, padding: Pair, groups: int, dilation: int) -> NDArray:
    """y[..., o] = conv(x of o's group, w[..., o]): x (N, H, W, Ci), w (K, K, Ci / groups, Co) -> (N, H', W', Co)."""
    _check("grouped_conv", x, w, groups, w.shape[2] * groups)
    out = NDArray.make((x.shape[0], *_outputs(x, w.shape[0], stride, padding, dilation), w.shape[3]), device=x.device)
    if _depthwise(w, groups):
        x = _pixels(x)
        options = w.shape[0], stride, *padding, dilation
        kernels.depthwise(x._handle, x.shape, x.strides, x._offset, w.compact()._handle, *options, out._handle)
        return out
    x, around = _padded(x, padding)
    for block in _blocks(w, groups):
        weight = _dilated(_diagonal(w, block, groups), dilation)
        out[_of(block, w.shape[3] // groups)] = linear.conv(x[_of(block, w.shape[2])], weight, stride, around)
    return out


def grouped_conv_input_gradient(
    g: NDArray, w: NDArray, stride: int, padding: Pair, height: int, width: int, groups: int, dilation: int
) -> NDArray:
    """dx (N, height, width, Ci) of y = grouped_conv(x, w), for g (N, H', W', Co)."""
    _check("grouped_conv_input_gradient", g, w, groups, w.shape[3])
    out = NDArray.make((g.shape[0], height, width, w.shape[2] * groups), device=g.device)
    if _depthwise(w, groups):
        g = _pixels(g)
        options = w.compact()._handle, out.shape, w.shape[0], stride, *padding, dilation
        kernels.depthwise_input_gradient(g._handle, g.strides, g._offset, *options, out._handle)
        return out
    around = padding[0] if padding[0] == padding[1] else 0
    top, left = padding[0] - around, padding[1] - around
    for block in _blocks(w, groups):
        share, weight = g[_of(block, w.shape[3] // groups)], _dilated(_diagonal(w, block, groups), dilation)
        dx = linear.conv_input_gradient(share, weight, stride, around, height + 2 * top, width + 2 * left)
        out[_of(block, w.shape[2])] = dx[:, top : top + height, left : left + width, :]
    return out


def grouped_conv_weight_gradient(
    x: NDArray, g: NDArray, stride: int, padding: Pair, kernel: int, groups: int, dilation: int
) -> NDArray:
    """dw (kernel, kernel, Ci / groups, Co) of y = grouped_conv(x, w), for x (N, H, W, Ci) and g (N, H', W', Co)."""
    inputs, outputs = x.shape[-1] // groups, g.shape[-1] // groups
    out = NDArray.make((kernel, kernel, inputs, g.shape[-1]), device=x.device)
    _check("grouped_conv_weight_gradient", x, out, groups, inputs * groups)
    if _depthwise(out, groups):
        x, g = _pixels(x), _pixels(g)
        given = x._handle, x.shape, x.strides, x._offset, g._handle, g.strides, g._offset
        kernels.depthwise_weight_gradient(*given, kernel, stride, *padding, dilation, out._handle)
        return out
    x, around = _padded(x, padding)
    reach = (kernel - 1) * dilation + 1
    for block in _blocks(out, groups):
        dense = linear.conv_weight_gradient(x[_of(block, inputs)], g[_of(block, outputs)], stride, around, reach)
        taps = dense[::dilation, ::dilation, :, :]
        for k, group in enumerate(block):
            own = slice(k * inputs, (k + 1) * inputs), slice(k * outputs, (k + 1) * outputs)
            out[_of(range(group, group + 1), outputs)] = taps[(ALL, ALL, *own)]
    return out


def _check(where: str, x: NDArray, w: NDArray, groups: int, channels: int) -> None:
    """x must have `channels` channels, and all groups outputs of w."""
    fits = x.ndim == w.ndim == 4 and w.shape[0] == w.shape[1] and groups >= 1
    if not fits or x.shape[3] != channels or w.shape[3] % groups:
        needs = "images (N, H, W, Ci or Co) and a weight (K, K, Ci / groups, Co)"
        raise ShapeError(f"[{where}] needs {needs}, got {x.shape} and {w.shape} in {groups} groups")


def _depthwise(w: NDArray, groups: int) -> bool:
    """Whether every channel has a kernel of its own."""
    return w.shape[2] == 1 and w.shape[3] == groups


def _pixels(x: NDArray) -> NDArray:
    """x with its channels side by side: copied only if they are not."""
    return x if x.strides[3] == 1 else x.compact()


def _outputs(x: NDArray, kernel: int, stride: int, padding: Pair, dilation: int) -> list[int]:
    reach = (kernel - 1) * dilation + 1
    return [max(0, n + 2 * p - reach) // max(stride, 1) + 1 for n, p in zip(x.shape[1:3], padding, strict=True)]


def _padded(x: NDArray, padding: Pair) -> tuple[NDArray, int]:
    """x, and the padding that is left to add on all sides alike."""
    top, left = padding
    return (x, top) if top == left else (x.pad(((0, 0), (top, top), (left, left), (0, 0))), 0)


def _blocks(w: NDArray, groups: int) -> Iterator[range]:
    """The groups, as many at a time as fill a dense convolution."""
    most = max(1, WIDTH // max(1, w.shape[3] // groups))
    count = max(n for n in range(1, min(groups, most) + 1) if groups % n == 0)
    return (range(first, first + count) for first in range(0, groups, count))


def _of(block: range, channels: int) -> tuple[slice, ...]:
    """The last axis' channels of some groups, of `channels` each."""
    return ALL, ALL, ALL, slice(block.start * channels, block.stop * channels)


def _diagonal(w: NDArray, block: range, groups: int) -> NDArray:
    """The weights of some groups as one: those of each group where its inputs meet its outputs, zero elsewhere."""
    inputs, outputs = w.shape[2], w.shape[3] // groups
    if len(block) == 1:
        return w[_of(block, outputs)]
    full = w.device.full((*w.shape[:2], len(block) * inputs, len(block) * outputs), 0.0)
    for k, group in enumerate(block):
        own = slice(k * inputs, (k + 1) * inputs), slice(k * outputs, (k + 1) * outputs)
        full[(ALL, ALL, *own)] = w[_of(range(group, group + 1), outputs)]
    return full


def _dilated(w: NDArray, dilation: int) -> NDArray:
    """The kernel with dilation - 1 zeros between its taps."""
    if dilation == 1 or w.shape[0] == 1:
        return w
    reach = (w.shape[0] - 1) * dilation + 1
    wide = w.device.full((reach, reach, *w.shape[2:]), 0.0)
    wide[::dilation, ::dilation, :, :] = w
    return wide
