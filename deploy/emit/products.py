"""How convolutions and matrix products are printed: weights packed now, sizes as constants, the epilogue in registers.

Like every row of the table in calls.py these are functions (low, node) -> View: where the node's value will be in the
program's memory. `low.view(x)` is where the value of x is, `low.new(node)` makes room, `low.call(text)` adds a line.
"""

from __future__ import annotations

import numpy

from ..ir import Node
from .lower import Lowering
from .views import View, constant, number

# The steps of an epilogue in C++, given a pointer (csrc/nd/direct_conv.h).
STEPS = {"bias": "Bias{{{0}}}", "add": "Residual{{{0}}}", "relu": "Apply<Relu>{{}}"}


def conv(low: Lowering, node: Node) -> View:
    """Packed weights, sizes as constants, the epilogue applied to registers."""
    op, (x, w, *rest) = node.op, node.inputs
    view = low.view(x)
    _, height, width, depth = x.shape
    kernel, _, _, channels = w.shape
    sizes = [f"Const<{n}>" for n in (height, width, depth, channels, kernel, op.stride, op.padding)]
    (first, taps), (left, across) = (_used_taps(n, kernel, op.stride, op.padding) for n in (height, width))
    matrix = w.op.array[first : first + taps, left : left + across].reshape(-1, channels)
    packed = low.weight((w, "conv", first, taps, left, across), pack(matrix))
    out = low.new(node)
    finish, used = epilogue(low, op.epilogue, rest)
    floats = _scratch(x.shape[1:], kernel, op.stride, op.padding)
    scratch = low.scratch(floats, "thread")
    shape_type = f"ConvShape<{', '.join(sizes)}>"
    fits = " && ".join(f"conv_scratch({shape_type}{{}}, {n}, 1) <= {floats}" for n in (1, 7, 8, 1 << 20))
    if view.dense:
        call = f"direct_conv(on, {number(x.shape[0])}, {', '.join(f'{n}{{}}' for n in sizes)}, {view.pointer}, "
    else:
        steps = ", ".join(map(number, view.strides))
        call = f"conv(on, {shape_type}{{}}, {number(x.shape[0])}, {view.pointer}, {{{steps}}}, "
    call += f"{packed}, {out.pointer}, {scratch.name}, {finish})"
    low.call(f"static_assert({fits});\n    {call}", out, view, scratch, *used, comment=repr(node))
    return out


def matmul(low: Lowering, node: Node) -> View:
    """x (M, K) times packed weights (K, N)."""
    x, w, *rest = node.inputs
    view = low.dense(x)
    depth, channels = w.shape
    packed = low.weight((w, "linear"), pack(w.op.array))
    out = low.new(node)
    finish, used = epilogue(low, node.op.epilogue, rest)
    sizes = f"{number(x.shape[0])}, {constant(depth)}, {constant(channels)}"
    call = f"linear(on, {sizes}, {view.pointer}, {packed}, {out.pointer}, {finish})"
    low.call(call, out, view, *used, comment=repr(node))
    return out


def epilogue(low: Lowering, steps: tuple[str, ...], inputs: list[Node]) -> tuple[str, list[View]]:
    """The epilogue as C++ text, and the views that it reads."""
    rest, used, parts = iter(inputs), [], []
    for step in steps:
        pointer = ""
        if step == "bias":
            node = next(rest)
            bias = node.op.array
            pointer = low.weight((node, "bias"), numpy.pad(bias, (0, -len(bias) % 16)))
        elif step == "add":
            view = low.dense(next(rest))
            used.append(view)
            pointer = view.pointer
        parts.append(STEPS[step].format(pointer))
    return (f"then({', '.join(parts)})" if parts else "Keep{}"), used


def pack(matrix: numpy.ndarray) -> numpy.ndarray:
    """(K, N) as [ceil(N / 16)][K][16], zeros behind column N: the layout of csrc/nd/direct_conv.h."""
    padded = numpy.pad(matrix, ((0, 0), (0, -matrix.shape[1] % 16)))
    return padded.reshape(len(matrix), -1, 16).transpose(1, 0, 2)


def _used_taps(size: int, kernel: int, stride: int, padding: int) -> tuple[int, int]:
    """(first, count) of the taps that meet the map; csrc/nd/direct_conv.h expects only those."""
    outputs = (size + 2 * padding - kernel) // stride + 1
    first = max(0, padding - (outputs - 1) * stride)
    return first, min(kernel, size + padding) - first


def _scratch(shape: tuple[int, ...], kernel: int, stride: int, padding: int) -> int:
    """Floats per thread for copies of images (H, W, C): the most that conv_scratch asks for, whatever the batch.

    csrc/nd/conv_tiles.h copies fewer than 8 images with the zeros around them, or about 16,384 floats of more.
    """
    height, width, depth = shape
    rows, columns = (_extent(n, kernel, stride, padding) for n in (height, width))
    plain = height * width * depth
    return max(7 * rows * columns * depth, (max(1, 16384 // plain) + 7) * plain)


def _extent(size: int, kernel: int, stride: int, padding: int) -> int:
    """The size of one axis with the zeros that the used taps read."""
    outputs = (size + 2 * padding - kernel) // stride + 1
    first, taps = _used_taps(size, kernel, stride, padding)
    before = max(0, padding - first)
    return before + size + max(0, (outputs - 1) * stride + first - padding + taps - size)
