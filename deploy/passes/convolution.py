"""Convolutions on small maps: taps that only meet padding are cut, and a kernel that covers the map is a matmul."""

from __future__ import annotations

from collections import Counter

from needle import ops
from needle.sizes import Size

from ..fused_ops import READING, FusedConv, FusedMatMul
from ..ir import Node, apply, same_type
from .rewrite import Kept


def conv_nd_as_conv(node: Node, uses: Counter[Node]) -> Node | Kept | None:
    """conv_nd(x, w)  =>  conv(pad(x), w), where windows of images are square and steps equal along both axes"""
    match node:
        case Node(ops.ConvND((stride, across), (rows, columns), (dilation, apart), groups), (x, w)):
            if stride != across or dilation != apart or w.shape[0] != w.shape[1]:
                return Kept("its kernel, steps or dilation differ along its two axes")
            if dilation > 1 and not w.known:
                return Kept("its kernel is dilated, and computed")
            if rows[0] != rows[1] or columns[0] != columns[1]:
                x, rows, columns = apply(ops.Pad(((0, 0), rows, columns, (0, 0))), x), (0, 0), (0, 0)
            padding = rows[0] if rows == columns else (rows[0], columns[0])
            return apply(ops.Conv(stride, padding, groups, dilation), x, w)
    return None


def cut_padding_taps(node: Node, uses: Counter[Node]) -> Node | Kept | None:
    """sum over taps  =>  the sum over those taps that meet the map at some output; the others multiply zeros"""
    match node:
        case Node(FusedConv(stride, padding, epilogue), (x, w, *rest)):
            if not w.known or any(isinstance(size, Size) for size in x.shape[1:3]):
                return Kept("the size of its maps is open") if w.known else None
            sizes = list(zip(x.shape[1:3], node.shape[1:3], strict=True))
            taps = w.shape[0]
            used = [t for t in range(taps) if any(_meets(t, *size, stride, padding) for size in sizes)]
            if not used:
                return Kept("it reads nothing but padding")
            low, high = used[0], used[-1]
            if high - low + 1 == taps or min(x.shape[1:3]) + 2 * (padding - low) < high - low + 1:
                return None
            used_taps = apply(ops.GetItem(((low, high + 1, 1), (low, high + 1, 1))), w)
            smaller = apply(FusedConv(stride, padding - low, epilogue), x, used_taps, *rest)
            return smaller if same_type(smaller.type, node.type) else None
    return None


def _meets(tap: int, size: int, outputs: int, stride: int, padding: int) -> bool:
    """Whether some output's `tap` reads inside the map."""
    return any(0 <= o * stride - padding + tap < size for o in range(outputs))


def conv_as_matmul(node: Node, uses: Counter[Node]) -> Node | Kept | None:
    """conv(x, w)  =>  rows(x) @ rows(w), where the kernel covers the whole map once, or is 1x1 with stride 1"""
    match node:
        case Node(FusedConv(stride, 0, epilogue), (x, w, *rest)):
            if not w.known:
                return None
            kernel, _, depth, channels = w.shape
            images, height, width, _ = x.shape
            if kernel == 1 and stride == 1 and not isinstance(height * width, Size):
                rows = images * (height * width)
            elif kernel == height == width and node.shape[1:3] == (1, 1):
                rows = images
            elif kernel == 1:
                but = f"its stride is {stride}" if stride > 1 else "the size of its maps is open"
                return Kept(f"its kernel is 1 x 1, but {but}")
            else:
                return None
            flat = apply(ops.Reshape((rows, kernel * kernel * depth)), x)
            matrix = apply(ops.Reshape((kernel * kernel * depth, channels)), w)
            more = [
                n if step == "bias" else apply(ops.Reshape((rows, channels)), n) for step, n in _steps(epilogue, rest)
            ]
            return apply(ops.Reshape(node.shape), apply(FusedMatMul(epilogue), flat, matrix, *more))
    return None


def _steps(epilogue: tuple[str, ...], inputs: list[Node]) -> list[tuple[str, Node]]:
    """The steps that take an input, each with it."""
    return list(zip([step for step in epilogue if step in READING], inputs, strict=True))
