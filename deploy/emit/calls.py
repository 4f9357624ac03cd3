"""How an op is computed by a kernel: one row per op, the pointwise ops share theirs. The table is total over needle's ops."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy

from needle import ops

from ..fused_ops import FusedConv, FusedMatMul
from ..ir import Node, describe
from .lower import Lowering, Refused, nest
from .views import View, constant, literal, number, product

Row = Callable[[Lowering, Node], View]

# The functor of csrc/nd/scalar.h that each pointwise op is, given the op.
POINTWISE: dict[type, Callable[[Any], str]] = {
    ops.EWiseAdd: lambda op: "Add{}",
    ops.EWiseMul: lambda op: "Mul{}",
    ops.EWiseDiv: lambda op: "Div{}",
    ops.EWisePow: lambda op: "Pow{}",
    ops.AddScalar: lambda op: f"AddScalar{{{literal(op.scalar)}}}",
    ops.MulScalar: lambda op: f"MulScalar{{{literal(op.scalar)}}}",
    ops.DivScalar: lambda op: f"DivScalar{{{literal(op.scalar)}}}",
    ops.PowerScalar: lambda op: f"PowerScalar{{{literal(op.scalar)}}}",
    ops.Negate: lambda op: "Neg{}",
    ops.Log: lambda op: "Log{}",
    ops.Exp: lambda op: "Exp{}",
    ops.ReLU: lambda op: "Relu{}",
    ops.Tanh: lambda op: "Tanh{}",
    ops.Sigmoid: lambda op: "Sigmoid{}",
}

STEPS = {"bias": "Bias{{{0}}}", "add": "Residual{{{0}}}", "relu": "Apply<Relu>{{}}"}


def pointwise(low: Lowering, node: Node) -> View:
    """y = f(x) or f(a, b): one sweep over memory where all are dense, a loop nest otherwise."""
    given = [low.view(x) for x in node.inputs]
    out = low.new(node, reuse=given)
    functor = POINTWISE[type(node.op)](node.op)
    views = [view.broadcast(out.shape) for view in given]
    pointers = ", ".join(x.pointer for x in (out, *views))
    shape = constant(product(out.shape)) if all(x.dense for x in views) else nest(out, *views)
    low.call(f"map(on, {shape}, {functor}, {pointers})", out, *views, comment=repr(node))
    return out


def permute(low: Lowering, node: Node) -> View:
    """A view: no memory moves."""
    rank = len(node.shape)
    return low.view(node.inputs[0]).permute([axis % rank for axis in node.op.axes])


def transpose(low: Lowering, node: Node) -> View:
    """A view: no memory moves."""
    order = list(range(len(node.shape)))
    a, b = node.op.axes or (-2, -1)
    order[a], order[b] = order[b], order[a]
    return low.view(node.inputs[0]).permute(order)


def broadcast(low: Lowering, node: Node) -> View:
    """A view with stride 0 along what is repeated."""
    return low.view(node.inputs[0]).broadcast(node.shape)


def reshape(low: Lowering, node: Node) -> View:
    """A view of dense memory."""
    return low.dense(node.inputs[0]).reshape(node.shape)


def conv(low: Lowering, node: Node) -> View:
    """Packed weights, sizes as constants, the epilogue applied to registers."""
    op, (x, w, *rest) = node.op, node.inputs
    view = low.view(x)
    _, height, width, depth = x.shape
    kernel, _, _, channels = w.shape
    sizes = [f"Const<{n}>" for n in (height, width, depth, channels, kernel, op.stride, op.padding)]
    (first, taps), (left, across) = (_kept(n, kernel, op.stride, op.padding) for n in (height, width))
    matrix = w.op.array[first : first + taps, left : left + across].reshape(-1, channels)
    packed = low.weight((w, "conv", first, taps, left, across), pack(matrix))
    out = low.new(node)
    finish, used = epilogue(low, op.epilogue, rest)
    region = math.prod((_extent(n, kernel, op.stride, op.padding) for n in (height, width)), start=depth)
    scratch = low.scratch(max(16384, region), "thread")
    if view.dense:
        call = f"direct_conv(on, {number(x.shape[0])}, {', '.join(f'{n}{{}}' for n in sizes)}, {view.pointer}, "
    else:
        steps = ", ".join(map(number, view.strides))
        call = f"conv(on, ConvShape<{', '.join(sizes)}>{{}}, {number(x.shape[0])}, {view.pointer}, {{{steps}}}, "
    call += f"{packed}, {out.pointer}, {scratch.name}, {finish})"
    low.call(call, out, view, scratch, *used, comment=repr(node))
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


def _kept(size: int, kernel: int, stride: int, padding: int) -> tuple[int, int]:
    """(first, count) of the taps that meet the map; csrc/nd/direct_conv.h expects only those."""
    outputs = (size + 2 * padding - kernel) // stride + 1
    first = max(0, padding - (outputs - 1) * stride)
    return first, min(kernel, size + padding) - first


def _extent(size: int, kernel: int, stride: int, padding: int) -> int:
    """How many positions of one axis the kept taps read, padding among them."""
    outputs = (size + 2 * padding - kernel) // stride + 1
    return (outputs - 1) * stride + _kept(size, kernel, stride, padding)[1]


def rows(kernel: str, keeps_shape: bool = True) -> Row:
    """A kernel that works on each row of the last axis."""

    def row(low: Lowering, node: Node) -> View:
        view = low.dense(node.inputs[0])
        out = low.new(node, reuse=[view] if keeps_shape else ())
        sizes = f"{constant(product(view.shape[:-1]))}, {constant(view.shape[-1])}"
        low.call(f"{kernel}(on, {sizes}, {view.pointer}, {out.pointer})", out, view, comment=repr(node))
        return out

    return row


NOT_YET = "programs do not hold this op yet; freeze a model without it"
TRAINING = "it belongs to training; freeze the model in eval mode"
NEEDS_CONSTANT = "the right operand must be a constant matrix and the left one must have two axes"

CALLS: dict[type, Row | Refused] = {
    **dict.fromkeys(POINTWISE, pointwise),
    ops.Permute: permute,
    ops.Transpose: transpose,
    ops.BroadcastTo: broadcast,
    ops.Reshape: reshape,
    FusedConv: conv,
    FusedMatMul: matmul,
}
