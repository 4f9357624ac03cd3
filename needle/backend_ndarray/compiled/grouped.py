"""Convolution of NDArrays in groups of channels, with dilated kernels and with padding of rows and columns apart.

Where every channel has a kernel of its own, a kernel for that serves. Wide groups are convolutions by themselves,
narrow ones share the kernel of groups. Those take one padding for all sides; a dilated kernel has zeros between.
"""

from __future__ import annotations

from collections.abc import Iterable

from needle.errors import ShapeError

from ..kernels import extension_of
from ..ndarray import NDArray

Pair = tuple[int, int]
WIDE = 32  # channels of a group that keep the convolution of one group busy


def grouped_conv(x: NDArray, w: NDArray, stride: int, padding: Pair, groups: int, dilation: int) -> NDArray:
    """y[..., o] = conv(x of o's group, w[..., o]): x (N, H, W, Ci), w (K, K, Ci / groups, Co) -> (N, H', W', Co)."""
    _check("grouped_conv", x, w, groups, w.shape[2] * groups)
    kernels = extension_of(x)
    if _depthwise(w, groups):
        return kernels.depthwise(x, w, stride, *padding, dilation)
    x, around = _padded(x, padding)
    w = _dilated(w, dilation)
    inputs, outputs = w.shape[2], w.shape[3] // groups
    if not _wide(inputs, w.shape[3], groups):
        return kernels.conv(x, w, stride, around, groups)
    of_groups = (kernels.conv(x[_of(k, inputs)], w[_of(k, outputs)], stride, around) for k in range(groups))
    return _side_by_side(of_groups, groups)


def grouped_conv_input_gradient(
    g: NDArray, w: NDArray, stride: int, padding: Pair, height: int, width: int, groups: int, dilation: int
) -> NDArray:
    """dx (N, height, width, Ci) of y = grouped_conv(x, w), for g (N, H', W', Co)."""
    _check("grouped_conv_input_gradient", g, w, groups, w.shape[3])
    kernels = extension_of(g)
    if _depthwise(w, groups):
        return kernels.depthwise_input_gradient(g, w, height, width, stride, *padding, dilation)
    around = padding[0] if padding[0] == padding[1] else 0
    top, left = padding[0] - around, padding[1] - around  # rows beyond the image
    sizes = stride, around, height + 2 * top, width + 2 * left
    w = _dilated(w, dilation)
    outputs = w.shape[3] // groups
    if _wide(w.shape[2], w.shape[3], groups):
        own = (_of(k, outputs) for k in range(groups))
        out = _side_by_side((kernels.conv_input_gradient(g[each], w[each], *sizes) for each in own), groups)
    else:
        out = kernels.conv_input_gradient(g, w, *sizes, groups)
    return out[:, top : top + height, left : left + width, :] if top or left else out


def grouped_conv_weight_gradient(
    x: NDArray, g: NDArray, stride: int, padding: Pair, kernel: int, groups: int, dilation: int
) -> NDArray:
    """dw (kernel, kernel, Ci / groups, Co) of y = grouped_conv(x, w), for x (N, H, W, Ci) and g (N, H', W', Co)."""
    inputs, outputs, reach = x.shape[-1] // groups, g.shape[-1] // groups, (kernel - 1) * dilation + 1
    if x.ndim != 4 or g.ndim != 4 or x.shape[3] % groups or g.shape[3] % groups:
        raise ShapeError(
            f"[grouped_conv_weight_gradient] needs images (N, H, W, Ci) and (N, H', W', Co), got {x.shape} and "
            f"{g.shape} in {groups} groups"
        )
    kernels = extension_of(x)
    if inputs == 1 and outputs == 1:
        return kernels.depthwise_weight_gradient(x, g, kernel, stride, *padding, dilation)
    x, around = _padded(x, padding)
    sizes = stride, around, reach
    if _wide(inputs, g.shape[-1], groups):
        own = ((x[_of(k, inputs)], g[_of(k, outputs)]) for k in range(groups))
        out = _side_by_side((kernels.conv_weight_gradient(*each, *sizes) for each in own), groups)
    else:
        out = kernels.conv_weight_gradient(x, g, *sizes, groups)
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


def _side_by_side(parts: Iterable[NDArray], count: int) -> NDArray:
    """The channels of all groups, of which there are `count` of one size."""
    for k, part in enumerate(parts):
        if k == 0:
            out = NDArray.make((*part.shape[:3], part.shape[3] * count), device=part.device)
        out[_of(k, part.shape[3])] = part
    return out


def _padded(x: NDArray, padding: Pair) -> tuple[NDArray, int]:
    """x, and the padding that is left to add on all sides alike."""
    top, left = padding
    return (x, top) if top == left else (x.pad(((0, 0), (top, top), (left, left), (0, 0))), 0)


def _dilated(w: NDArray, dilation: int) -> NDArray:
    """The kernel with dilation - 1 zeros between its taps."""
    if dilation == 1 or w.shape[0] == 1:
        return w
    reach = (w.shape[0] - 1) * dilation + 1
    wide = w.device.full((reach, reach, *w.shape[2:]), 0.0)
    wide[::dilation, ::dilation, :, :] = w
    return wide
