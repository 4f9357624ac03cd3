"""Convolutions, pooling and resampling of images (N, H, W, C), with their gradients; torch's are channels-last too."""

from __future__ import annotations

from bench.case import Run, Sides
from bench.cases.data import k, normal, pytorch
from needle.backend_ndarray import NDArray


def conv(batch: int, side: int, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> Sides:
    """A convolution with as much padding on each side as half its kernel."""
    padding = kernel // 2
    x, w = normal(batch, side, side, inputs), normal(kernel, kernel, inputs, outputs)
    mapped = (side + 2 * padding - kernel) // stride + 1
    g = normal(batch, mapped, mapped, outputs)

    def ours() -> None:
        k.conv(x, w, stride, padding)
        k.conv_input_gradient(g, w, stride, padding, side, side)
        k.conv_weight_gradient(x, g, stride, padding, kernel)

    return Sides(ours, {"PyTorch": lambda: torch_conv(x, w, g, stride, padding)})


def grouped(batch: int, side: int, channels: int, groups: int, stride: int = 1) -> Sides:
    """A 3x3 convolution in groups; groups = channels is the depthwise one."""
    x, w = normal(batch, side, side, channels), normal(3, 3, channels // groups, channels)
    mapped = (side - 1) // stride + 1
    g = normal(batch, mapped, mapped, channels)

    def ours() -> None:
        k.grouped_conv(x, w, stride, (1, 1), groups, 1)
        k.grouped_conv_input_gradient(g, w, stride, (1, 1), side, side, groups, 1)
        k.grouped_conv_weight_gradient(x, g, stride, (1, 1), 3, groups, 1)

    return Sides(ours, {"PyTorch": lambda: torch_conv(x, w, g, stride, 1, groups)})


def torch_conv(x: NDArray, w: NDArray, g: NDArray, stride: int, padding: int, groups: int = 1) -> Run:
    t = pytorch()
    tx, tg = t.images(x).requires_grad_(), t.images(g)
    tw = t.tensor(w).permute(3, 2, 0, 1).contiguous(memory_format=t.torch.channels_last).requires_grad_()
    return lambda: t.grad(t.F.conv2d(tx, tw, None, stride, padding, 1, groups), (tx, tw), tg)


def pool(
    batch: int, side: int, channels: int, largest: bool, kernel: int = 2, stride: int = 2, padding: int = 0
) -> Sides:
    """Maxima or means over windows."""
    from needle.backend_ndarray.bands import sliding

    x, windows = normal(batch, side, side, channels), sliding(side, kernel, stride, padding)
    g = normal(batch, windows.outputs, windows.outputs, channels)

    def ours() -> None:
        if largest:
            k.max_pool(x, x, windows, windows)
            k.max_pool_gradient(g, x, windows, windows)
        else:
            k.resample(x, windows, windows)
            k.resample(g, windows.transposed, windows.transposed)

    def peer() -> Run:
        t = pytorch()
        tx, tg, function = t.images(x).requires_grad_(), t.images(g), t.F.max_pool2d if largest else t.F.avg_pool2d
        return lambda: t.grad(function(tx, kernel, stride, padding), tx, tg)

    return Sides(ours, {"PyTorch": peer})


def upsample(batch: int, side: int, channels: int) -> Sides:
    """Bilinear, to twice the size."""
    from needle.backend_ndarray.bands import linear

    x, lines = normal(batch, side, side, channels), linear(side, 2 * side)
    g = normal(batch, 2 * side, 2 * side, channels)

    def ours() -> None:
        k.resample(x, lines, lines)
        k.resample(g, lines.transposed, lines.transposed)

    def peer() -> Run:
        t = pytorch()
        tx, tg = t.images(x).requires_grad_(), t.images(g)
        return lambda: t.grad(t.F.interpolate(tx, scale_factor=2, mode="bilinear"), tx, tg)

    return Sides(ours, {"PyTorch": peer})
