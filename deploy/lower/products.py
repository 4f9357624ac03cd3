"""Rows for convolutions and matrix products: weights packed now, the steps after them in registers.

Like every row of the table in table.py these are functions (low, node) -> View: where the node's value will be in the
program's memory. `low.view(x)` is where the value of x is, `low.new(node)` makes room, `low.call(...)` adds a call.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

from needle import ops
from needle.types import Type

from ..coded_weights import DecodedWeight, PackCodes
from ..errors import EmitError
from ..fused_ops import READING
from ..ir import Node, apply
from ..kernel_sizes import used_taps
from ..packed_weights import Pack, TransposedPack, WinogradPack, WinogradTransposedPack
from ..program import View, same
from .algorithms import round_of, tile_outputs, transposed_tile_outputs
from .elements import as_dtype, computed
from .lowering import Lowering, Value


def conv(low: Lowering, node: Node) -> View:
    """x, with any strides, and the taps that meet the map."""
    op, (x, w, *rest) = node.op, node.inputs
    view = low.view(x)
    images, height, width, depth = x.shape
    kernel, _, _, channels = w.shape
    tile = tile_outputs(op, kernel, x.shape, channels, low.favoured) if low.device == "cpu" else 0
    if tile:
        return _winograd(low, node, tile)
    (first, taps), (left, across) = (used_taps(n, kernel, op.stride, op.padding) for n in (height, width))
    kept = apply(ops.GetItem(((first, first + taps, 1), (left, left + across, 1))), w)
    matrix = apply(ops.Reshape((taps * across * depth, channels)), kept)
    packed = low.weight(w, apply(Pack(), matrix), first, taps, left, across)
    out = low.new(node)
    more = epilogue(low, op.epilogue, rest)
    sizes = (images, height, width, depth, channels, kernel, op.stride, op.padding)
    low.call("conv", sizes, reads=[view, packed, *more], writes=[out], epilogue=op.epilogue, note=repr(node))
    return out


def _winograd(low: Lowering, node: Node, outputs: int) -> View:
    """The same by Winograd's minimal filtering, with tiles of outputs x outputs."""
    op, (x, w, *rest) = node.op, node.inputs
    view, packed = low.view(x), low.weight(w, apply(WinogradPack(outputs), w), "winograd", outputs)
    out = low.new(node)
    more = epilogue(low, op.epilogue, rest)
    round = round_of(node.shape[1:3], x.shape[3], outputs, 3, low.favoured)
    sizes = (*x.shape, w.shape[3], op.padding, outputs, round)
    low.call("winograd_conv", sizes, reads=[view, packed, *more], writes=[out], epilogue=op.epilogue, note=repr(node))
    return out


def input_gradient(low: Lowering, node: Node) -> Value:
    """A transposed convolution whose weights are computed: they are packed in every call."""
    op = node.op
    if not isinstance(op.padding, int) or (op.groups, op.dilation) != (1, 1):
        raise EmitError(f"[emit] {node!r}: a transposed convolution must have one group, no dilation, one padding")
    g, w = low.view(node.inputs[0]), low.dense(node.inputs[1])
    out = low.new(node)
    images, height, width, depth = out.shape
    sizes = (images, height, width, depth, g.shape[3], w.shape[0], op.stride, op.padding)
    low.call("conv_input_gradient", sizes, reads=[g, w], writes=[out], note=repr(node))
    return out


def transposed_conv(low: Lowering, node: Node) -> Value:
    """Phase by phase, filtered where that is faster; of few channels the sum of what each pixel gives to its window."""
    op, (x, w, *rest) = node.op, node.inputs
    kernel, _, depth, channels = w.shape
    if channels <= 8 and depth >= 16 and not op.epilogue and low.device == "cpu":
        return _windows(low, node)
    tile = transposed_tile_outputs(op, kernel, x.shape, channels, low.favoured) if low.device == "cpu" else 0
    if tile:
        return _winograd_transposed(low, node, tile)
    view, how = low.view(x), (op.stride, op.padding, op.height, op.width, *x.shape[1:3])
    packed = low.weight(w, apply(TransposedPack(*how), w), *how) if low.device == "cpu" else low.dense(w)
    out = low.new(node)
    more = epilogue(low, op.epilogue, rest)
    sizes = (*out.shape, depth, kernel, op.stride, op.padding)
    reads = [view, packed, *more]
    low.call("transposed_conv", sizes, reads=reads, writes=[out], epilogue=op.epilogue, note=repr(node))
    return out


def _winograd_transposed(low: Lowering, node: Node, outputs: int) -> View:
    """Each phase by Winograd's minimal filtering, with tiles of outputs x outputs."""
    op, (x, w, *rest) = node.op, node.inputs
    how = (op.stride, op.padding, outputs)
    view, packed = low.view(x), low.weight(w, apply(WinogradTransposedPack(*how), w), "winograd", *how)
    out = low.new(node)
    more = epilogue(low, op.epilogue, rest)
    phase = (-(-op.height // op.stride), -(-op.width // op.stride))
    round = round_of(phase, x.shape[3], outputs, 2, low.favoured)
    sizes = (*out.shape, x.shape[3], op.stride, op.padding, outputs, round)
    reads = [view, packed, *more]
    low.call("winograd_transposed", sizes, reads=reads, writes=[out], epilogue=op.epilogue, note=repr(node))
    return out


def _windows(low: Lowering, node: Node) -> View:
    """One product gives the windows (K, K, O) of all pixels, which are added where they lie."""
    op, (x, w) = node.op, node.inputs
    kernel, _, depth, channels = w.shape
    view = low.dense(x)
    rows, columns = math.prod(x.shape[:-1]), kernel * kernel * channels
    matrix = apply(ops.Reshape((depth, columns)), apply(ops.Permute((2, 0, 1, 3)), w))
    packed = low.weight(w, apply(Pack(), matrix), "windows")
    windows = low.temporary(Type((rows, columns)), "windows")
    low.call("linear", (rows, depth, columns), reads=[view, packed], writes=[windows], note=repr(node))
    out = low.new(node)
    sizes = (*out.shape, kernel, op.stride, op.padding)
    low.call("add_windows", sizes, reads=[windows], writes=[out], note="added where they lie")
    return out


def matmul(low: Lowering, node: Node) -> View:
    """x (M, K) times packed weights (K, N)."""
    x, w, *rest = node.inputs
    if isinstance(w.op, DecodedWeight):
        return _coded(low, node)
    view = low.dense(x)
    packed = low.weight(w, apply(Pack(), w), "linear")
    out = low.new(node)
    more = epilogue(low, node.op.epilogue, rest)
    sizes = (x.shape[0], *w.shape)
    low.call("linear", sizes, reads=[view, packed, *more], writes=[out], epilogue=node.op.epilogue, note=repr(node))
    return out


def _coded(low: Lowering, node: Node) -> View:
    """The same with the codes of weights."""
    x, w, *rest = node.inputs
    view, codes = low.dense(x), w.inputs[0]
    packed = low.weight(codes, apply(PackCodes(), codes), "codes")
    scales = [low.weight(n, apply(Pack(), n), "scales") for n in w.inputs[1:]] or [packed]  # halves have none
    out = low.new(node)
    more = epilogue(low, node.op.epilogue, rest)
    sizes, steps = (x.shape[0], *w.shape, w.op.group), node.op.epilogue
    reads = [view, packed, *scales, *more]
    low.call("coded_linear", sizes, reads=reads, writes=[out], functor=w.op.format, epilogue=steps, note=repr(node))
    return out


def general_matmul(low: Lowering, node: Node) -> View:
    """Matrices that both are computed, or batches of them, with any strides."""
    if node.type.dtype != "float32":
        return _of_any_dtype(low, node)
    a, b = map(low.view, node.inputs)
    if len(b.shape) == 2 and len(a.shape) > 2:  # all rows meet one matrix
        a = low.in_order(a).reshape((math.prod(a.shape[:-1]), a.shape[-1]))
    lead = node.shape[:-2] if len(a.shape) > 2 or len(b.shape) > 2 else ()
    a, b = (_one_batch(low, x.broadcast((*lead, *x.shape[-2:]))) for x in (a, b))
    out = low.new(node)
    sizes = (*a.shape[:2], b.shape[2], a.shape[2])
    low.call("batched_matmul", sizes, reads=[a, b], writes=[out], note=repr(node))
    return out


def _of_any_dtype(low: Lowering, node: Node) -> View:
    """A plain product, in the dtype that elements are computed in; of halves in float32."""
    wide = computed(node.type.dtype)
    if wide == "float32":
        narrow = [apply(ops.Cast(wide), x) for x in node.inputs]
        for x, y in zip(node.inputs, narrow, strict=True):
            low.views[y] = as_dtype(low, low.view(x), wide)
        return as_dtype(low, general_matmul(low, Node(node.op, tuple(narrow), Type(node.shape, wide))), node.type.dtype)
    lead = node.shape[:-2]
    given = [as_dtype(low, low.view(x), wide) for x in node.inputs]
    a, b = (low.in_order(x.broadcast((*lead, *x.shape[-2:]))) for x in given)
    out = low.temporary(Type(node.shape, wide), repr(node))
    sizes = (math.prod(lead), a.shape[-2], b.shape[-1], a.shape[-1])
    low.call("matmul_elements", sizes, reads=[a, b], writes=[out], note=repr(node))
    return as_dtype(low, out, node.type.dtype)


def _one_batch(low: Lowering, view: View) -> View:
    """(B, rows, columns): the leading axes as one, copied where no single step leads from each matrix to the next."""
    *lead, rows, columns = view.shape
    used = [(n, step) for n, step in zip(lead, view.strides, strict=False) if not same(n, 1)]
    for (_, outer), (n, inner) in itertools.pairwise(used):
        if not same(outer, n * inner):
            view = low.copied(view)
            used = [(1, view.strides[-3])]
            break
    step = used[-1][1] if used else 0
    return replace(view, shape=(math.prod(lead), rows, columns), strides=(step, *view.strides[-2:]))


def epilogue(low: Lowering, steps: tuple[str, ...], inputs: list[Node]) -> list[View]:
    """What the steps read: a bias with zeros behind it, a tensor to add."""
    given = zip([step for step in steps if step in READING], inputs, strict=True)
    return [_padded(low, node) if step == "bias" else low.dense(node) for step, node in given]


def _padded(low: Lowering, node: Node) -> View:
    row = apply(ops.Reshape((1, *node.shape)), node)
    return low.weight(node, apply(Pack(), row), "bias")
