"""How an op is computed by a kernel: one row per op, the pointwise ops share theirs. Total over needle's ops."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from needle import ops
from needle.ops.plain_op import Elementary
from needle.ops.pointwise import Pointwise, PointwiseGradient
from needle.sizes import Size

from .. import expand
from ..coded_weights import DecodedWeight, PackCodes
from ..errors import EmitError
from ..expand import convolutions
from ..fused_ops import (
    FusedConv,
    FusedGroupedConv,
    FusedMatMul,
    FusedTransposedConv,
    NormedBias,
    NormedWeight,
    Unfold,
)  # fmt: skip
from ..ir import Node
from ..onnx import ops as onnx_ops
from ..onnx.ops.base import NumpyOp
from ..packed_weights import Pack, TransposedPack, WinogradPack, WinogradTransposedPack
from ..quantized_ops import ByteTable, Dequantize, PackBytes, Quantize, QuantizedConv, QuantizedMatMul
from ..registry import OPS
from . import quantized
from .caches import cache_write, cached_attention, positions
from .elements import (
    add_scalars,
    as_dtype,
    bit_cast,
    bits,
    cast,
    cast_to,
    elementwise,
    is_inf,
    is_nan,
    modulo,
    of_any_dtype,
    power_of,
    subtract,
    triangle,
    where,
)
from .grouped import grouped_conv
from .lowering import Expanded, Lowering, Refused, Value
from .padding import pad, unfold
from .places import (
    concat,
    dilate,
    gather,
    place,
    resize,
    running,
    scatter_elements,
    scatter_nd,
    take,
    top_k,
    undilate,
)
from .pooling import max_pool, resample
from .products import conv, general_matmul, input_gradient, matmul, transposed_conv
from .reductions import (
    batch_norm,
    extremum,
    group_norm,
    layer_norm,
    log_sum_exp,
    mean,
    of_range,
    product,
    rms_norm,
    rows,
    summation,
    variance,
)  # fmt: skip
from .sequences import attention, embed, gru, iota, lstm, random, rnn

Row = Callable[[Lowering, Node], Value]


def pointwise(low: Lowering, node: Node) -> Value:
    """y = f(x) or f(a, b): one sweep over memory where all are dense, a loop nest otherwise."""
    if isinstance(node.op, ops.Where) and node.inputs[0].type.dtype != "float32":
        return where(low, node)
    if node.type.dtype != "float32":
        return of_any_dtype(low, node)
    given = [as_dtype(low, low.view(x), "float32") for x in node.inputs]
    out = low.new(node, reuse=given)
    views = [view.broadcast(out.shape) for view in given]
    dense = all(x.dense for x in views)
    kernel, sizes = ("map", [math.prod(out.shape)]) if dense else ("map_strided", [])
    op = node.op
    low.call(kernel, sizes, reads=views, writes=[out], numbers=op.numbers, functor=op.functor, note=repr(node))
    return out


def permute(low: Lowering, node: Node) -> Value:
    """A view: no memory moves."""
    rank = len(node.shape)
    return low.view(node.inputs[0]).permute([axis % rank for axis in node.op.axes])


def transpose(low: Lowering, node: Node) -> Value:
    """A view: no memory moves."""
    order = list(range(len(node.shape)))
    a, b = node.op.axes or (-2, -1)
    order[a], order[b] = order[b], order[a]
    return low.view(node.inputs[0]).permute(order)


def broadcast(low: Lowering, node: Node) -> Value:
    """A view with stride 0 along what is repeated."""
    return low.view(node.inputs[0]).broadcast(node.shape)


def reshape(low: Lowering, node: Node) -> Value:
    """A view where the new axes are steps through memory, else one of a copy."""
    view = low.view(node.inputs[0])
    return (None if view.dense else view.regrouped(node.shape)) or low.in_order(view).reshape(node.shape)


def flip(low: Lowering, node: Node) -> Value:
    """A view that starts at the other end and walks backwards."""
    view = low.view(node.inputs[0])
    axes = range(len(node.shape)) if node.op.axes is None else node.op.axes
    for axis in [axes] if isinstance(axes, int) else axes:
        view = view.flip(axis % len(node.shape))
    return view


def make_tuple(low: Lowering, node: Node) -> Value:
    """The parts as they are."""
    return tuple(low.view(x) for x in node.inputs)


def get_item(low: Lowering, node: Node) -> Value:
    """One part of a tuple."""
    parts = low.parts(node.inputs[0])
    return parts[int(node.op.index)]


def view_of_index(low: Lowering, node: Node) -> Value:
    """A view: ints take an element, slices other steps, None a new axis of size 1."""
    view = low.view(node.inputs[0])
    shape, strides, offset, axis = [], [], view.offset, 0
    for part in (*node.op.index, *[(None, None, 1)] * (len(view.shape) - sum(x is not None for x in node.op.index))):
        if part is None:
            shape.append(1)
            strides.append(0)
            continue
        size, stride = view.shape[axis], view.strides[axis]
        axis += 1
        if isinstance(part, int):
            offset += (part if part >= 0 else size + part) * stride
        elif part == (None, None, 1):
            shape.append(size)
            strides.append(stride)
        elif isinstance(size, Size):
            raise EmitError(f"[emit] {node!r}: a slice of a named size cannot be compiled yet")
        else:
            steps = range(*slice(*part).indices(size))
            shape.append(len(steps))
            strides.append(steps.step * stride)
            offset += steps.start * stride
    return replace(view, shape=tuple(shape), strides=tuple(strides), offset=offset)


def split(low: Lowering, node: Node) -> Value:
    """Views of the slices."""
    view = low.view(node.inputs[0])
    axis = node.op.axis % len(view.shape)
    return tuple(view.take(axis, k) for k in range(int(view.shape[axis])))


def stack(low: Lowering, node: Node) -> Value:
    """A copy of each part into its slice."""
    out = low.new(node)
    axis = node.op.axis % len(node.shape)
    for k, part in enumerate(low.parts(node.inputs[0])):
        low.copy(out.take(axis, k), part)
    return out


ANY_DTYPE = (  # they move elements, read ids, or have a row that asks the dtypes
    ops.Permute, ops.Transpose, ops.BroadcastTo, ops.Reshape, ops.Flip, ops.MakeTensorTuple, ops.TupleGetItem,
    ops.Split, ops.GetItem, ops.Stack, ops.Embed, ops.Iota, ops.Random, ops.Positions, ops.CacheWrite,
    ops.CachedAttention,
    ops.Concat, ops.Take, ops.Gather, ops.Dilate, ops.UnDilate, ops.Cast, Pointwise, ops.Summation, ops.Max, ops.Min,
    ops.Mean, ops.Var, ops.Pad, ops.IsNaN, ops.IsInf, ops.ArgMax, ops.ArgMin, ops.CumSum, ops.TopK, ops.MatMul,
    Elementary, Unfold, NumpyOp, ops.MaxPool, ByteTable, Dequantize, Quantize, QuantizedConv, QuantizedMatMul,
)  # fmt: skip
POINTWISE = [op for op in OPS.values() if issubclass(op, Pointwise | PointwiseGradient)]
TRAINING = Refused("it belongs to training; freeze the model in eval mode")
NO_KERNEL = Refused("it has no kernel: the interpreter computes it by numpy")
ONNX_ONLY = Refused("only the interpreter computes it, as ONNX defines it")
EXPANDED = Expanded("programs make other ops of it where they know the sizes that this takes")
OF_WEIGHTS = Refused("it makes a weight of weights, which is done when they are loaded")

CALLS: dict[type, Row | Refused] = {
    **{op: ONNX_ONLY for op in vars(onnx_ops).values() if op in OPS.values()},
    **{op: elementwise(op.__name__) for op in OPS.values() if issubclass(op, Elementary)},
    **dict.fromkeys((ops.PadGradient, ops.ConvNDWeightGradient), NO_KERNEL),
    **dict.fromkeys((*expand.TABLE, *convolutions.AS_PRODUCTS), EXPANDED),
    ops.Cast: cast,
    ops.Pad: pad,
    Unfold: unfold,
    onnx_ops.Subtract: subtract,
    onnx_ops.Divide: elementwise("Quotient"),
    onnx_ops.Modulo: modulo,
    onnx_ops.PowerOf: power_of,
    onnx_ops.Bitwise: bits({"and": "BitAnd", "or": "BitOr", "xor": "BitXor"}),
    onnx_ops.BitwiseNot: elementwise("BitNot"),
    onnx_ops.BitShift: bits({"True": "ShiftLeft", "False": "ShiftRight"}),
    onnx_ops.CastTo: cast_to,
    onnx_ops.BitCast: bit_cast,
    onnx_ops.Trilu: triangle,
    onnx_ops.CumProd: running("Multiply", 1),
    onnx_ops.ScatterND: scatter_nd,
    onnx_ops.ScatterElements: scatter_elements,
    onnx_ops.Resize: resize,
    onnx_ops.Product: product,
    onnx_ops.Extremum: of_range,
    ops.IsInf: is_inf,
    ops.ArgMax: place("Greater"),
    ops.ArgMin: place("Less"),
    ops.CumSum: running("Add", 0),
    ops.TopK: top_k,
    ops.IsNaN: is_nan,
    **dict.fromkeys(POINTWISE, pointwise),
    ops.Permute: permute,
    ops.Transpose: transpose,
    ops.BroadcastTo: broadcast,
    ops.Reshape: reshape,
    ops.Flip: flip,
    ops.MakeTensorTuple: make_tuple,
    ops.TupleGetItem: get_item,
    ops.Split: split,
    ops.GetItem: view_of_index,
    ops.Stack: stack,
    ops.Concat: concat,
    ops.Take: take,
    ops.Gather: gather,
    ops.Dilate: dilate,
    ops.UnDilate: undilate,
    ops.FusedAddScalars: add_scalars,
    ops.Summation: summation,
    ops.Max: extremum("MaxFold", "Maximum"),
    ops.Min: extremum("MinFold", "Minimum"),
    ops.Mean: mean,
    ops.Var: variance,
    ops.LogSumExp: log_sum_exp,
    ops.Softmax: rows("softmax"),
    ops.LogSoftmax: rows("logsoftmax"),
    ops.LayerNorm: layer_norm,
    ops.GroupNorm: group_norm,
    ops.RMSNorm: rms_norm,
    ops.BatchNormInference: batch_norm,
    FusedConv: conv,
    FusedGroupedConv: grouped_conv,
    FusedTransposedConv: transposed_conv,
    FusedMatMul: matmul,
    Quantize: quantized.quantize,
    Dequantize: quantized.dequantize,
    ByteTable: quantized.byte_table,
    QuantizedConv: quantized.conv,
    QuantizedMatMul: quantized.matmul,
    **dict.fromkeys((NormedWeight, NormedBias, DecodedWeight), OF_WEIGHTS),
    **dict.fromkeys((Pack, PackBytes, PackCodes, TransposedPack, WinogradPack, WinogradTransposedPack), OF_WEIGHTS),
    ops.Conv: grouped_conv,
    ops.MatMul: general_matmul,
    ops.Attention: attention,
    ops.Positions: positions,
    ops.CacheWrite: cache_write,
    ops.CachedAttention: cached_attention,
    ops.Embed: embed,
    ops.Iota: iota,
    ops.Random: random,
    ops.LSTM: lstm,
    ops.GRU: gru,
    ops.RNN: rnn,
    ops.MaxPool: max_pool,
    ops.AvgPool: resample,
    ops.AdaptiveMaxPool: max_pool,
    ops.AdaptiveAvgPool: resample,
    ops.Upsample: resample,
    ops.MaxPoolPick: TRAINING,
    ops.MaxPoolGradient: TRAINING,
    ops.Resample: TRAINING,
    **dict.fromkeys((ops.ExtremumGradient, ops.GetItemGradient, ops.TakeGradient, ops.GatherGradient), TRAINING),
    ops.CrossEntropy: TRAINING,
    ops.Huber: TRAINING,
    ops.BatchNorm: TRAINING,
    ops.ConvInputGradient: input_gradient,
    ops.ConvWeightGradient: TRAINING,
    ops.AttentionGradient: TRAINING,
    ops.BatchNormGradient: TRAINING,
    ops.CrossEntropyGradient: TRAINING,
    ops.EmbedGradient: TRAINING,
    ops.GroupNormGradient: TRAINING,
    ops.LayerNormGradient: TRAINING,
    ops.RMSNormGradient: TRAINING,
    ops.LogSoftmaxGradient: TRAINING,
    ops.LSTMGradient: TRAINING,
    ops.GRUGradient: TRAINING,
    ops.RNNGradient: TRAINING,
    ops.SoftmaxGradient: TRAINING,
}
