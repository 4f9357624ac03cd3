"""Convolution of NDArrays in groups of channels, with dilated kernels and with padding of rows and columns apart.

Where every channel has a kernel of its own, a kernel for that serves. Wide groups are convolutions by themselves,
narrow ones share the kernel of groups. Those take one padding for all sides; a dilated kernel has zeros between.
"""

from __future__ import annotations

from needle.errors import ShapeError

from .. import ndarray_backend_cpu as kernels
from ..ndarray import NDArray
from . import linear

Pair = tuple[int, int]
WIDE = 32  # channels of a group that keep the convolution of one group busy


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
    w = _dilated(w, dilation)
    if _wide(w.shape[2], w.shape[3], groups):
        for k in range(groups):
            share = w[_of(k, w.shape[3] // groups)]
            out[_of(k, w.shape[3] // groups)] = linear.conv(x[_of(k, w.shape[2])], share, stride, around)
        return out
    kernels.grouped_conv(
        x._handle, x.shape, x.strides, x._offset, w._handle, w.shape, stride, around, groups, out._handle
    )
    return out


def grouped_conv_input_gradient(
    g: NDArray, w: NDArray, stride: int, padding: Pair, height: int, width: int, groups: int, dilation: int
) -> NDArray:
    """dx (N, height, width, Ci) of y = grouped_conv(x, w), for g (N, H', W', Co)."""
    _check("grouped_conv_input_gradient", g, w, groups, w.shape[3])
    around = padding[0] if padding[0] == padding[1] else 0
    top, left = (0, 0) if _depthwise(w, groups) else (padding[0] - around, padding[1] - around)  # rows beyond the image
    out = NDArray.make((g.shape[0], height + 2 * top, width + 2 * left, w.shape[2] * groups), device=g.device)
    if _depthwise(w, groups):
        g = _pixels(g)
        options = w.compact()._handle, out.shape, w.shape[0], stride, *padding, dilation
        kernels.depthwise_input_gradient(g._handle, g.strides, g._offset, *options, out._handle)
        return out
    w = _dilated(w, dilation)
    if _wide(w.shape[2], w.shape[3], groups):
        for k in range(groups):
            own = _of(k, w.shape[3] // groups)
            dx = linear.conv_input_gradient(g[own], w[own], stride, around, *out.shape[1:3])
            out[_of(k, w.shape[2])] = dx
    else:
        given = g._handle, g.shape, g.strides, g._offset, w._handle, w.shape
        kernels.grouped_conv_input_gradient(*given, stride, around, *out.shape[1:3], groups, out._handle)
    return out[:, top : top + height, left : left + width, :] if top or left else out


def grouped_conv_weight_gradient(
    x: NDArray, g: NDArray, stride: int, padding: Pair, kernel: int, groups: int, dilation: int
) -> NDArray:
    """dw (kernel, kernel, Ci / groups, Co) of y = grouped_conv(x, w), for x (N, H, W, Ci) and g (N, H', W', Co)."""
    inputs, reach = x.shape[-1] // groups, (kernel - 1) * dilation + 1
    shape = (kernel, kernel, inputs, g.shape[-1])
    if inputs == 1 and g.shape[-1] == groups:
        out = NDArray.make(shape, device=x.device)
        _check("grouped_conv_weight_gradient", x, out, groups, groups)
        x, g = _pixels(x), _pixels(g)
        maps = x._handle, x.shape, x.strides, x._offset, g._handle, g.strides, g._offset
        kernels.depthwise_weight_gradient(*maps, kernel, stride, *padding, dilation, out._handle)
        return out
    out = NDArray.make((reach, reach, *shape[2:]), device=x.device)
    _check("grouped_conv_weight_gradient", x, out, groups, inputs * groups)
    x, around = _padded(x, padding)
    if _wide(inputs, g.shape[-1], groups):
        for k in range(groups):
            own = _of(k, g.shape[-1] // groups)
            out[own] = linear.conv_weight_gradient(x[_of(k, inputs)], g[own], stride, around, reach)
    else:
        given = x._handle, x.shape, x.strides, x._offset, g._handle, g.shape, g.strides, g._offset
        kernels.grouped_conv_weight_gradient(*given, stride, around, reach, groups, out._handle)
    return out if dilation == 1 else out[::dilation, ::dilation, :, :].compact()


def _check(where: str, x: NDArray, w: NDArray, groups: int, channels: int) -> None:
    """x must have `channels` channels, and all groups outputs of w."""
    fits = x.ndim == w.ndim == 4 and w.shape[0] == w.shape[1] and groups >= 1
    if not fits or x.shape[3] != channels or w.shape[3] % groups:
        needs = "images (N, H, W, Ci or Co) and a weight (K, K, Ci / groups, Co)"
        raise ShapeError(f"[{where}] needs {needs}, got {x.shape} and {w.shape} in {groups} groups")


def _depthwise(w: NDArray, groups: int) -> bool:
    """Whether every channel has a kernel of its own."""
    return w.shape[2] == 1 and w.shape[3] == groups


def _wide(inputs: int, outputs: int, groups: int) -> bool:
    """Whether groups of `inputs` channels each, of `outputs` together, are worth a convolution each."""
    return min(inputs, outputs // groups) >= WIDE


def _of(group: int, channels: int) -> tuple[slice, ...]:
    """The last axis' channels of a group of `channels`."""
    everything = slice(None)
    return everything, everything, everything, slice(group * channels, (group + 1) * channels)


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


def _dilated(w: NDArray, dilation: int) -> NDArray:
    """The kernel with dilation - 1 zeros between its taps, compact."""
    if dilation == 1 or w.shape[0] == 1:
        return w.compact()
    reach = (w.shape[0] - 1) * dilation + 1
    wide = w.device.full((reach, reach, *w.shape[2:]), 0.0)
    wide[::dilation, ::dilation, :, :] = w
    return wide
