"""Whether a graph computes each row of its batch by itself, so that a batch may be run in pieces."""

from __future__ import annotations

from needle import ops
from needle.ops.pointwise import Pointwise, PointwiseGradient
from needle.sizes import Size, dims_of, is_dim
from needle.types import Type

from .fused_ops import FusedConv, FusedGroupedConv, FusedMatMul
from .ir import Graph, Input, Node, parts
from .quantized_ops import ByteTable, Dequantize, Quantize, QuantizedConv, QuantizedMatMul

BATCH = "batch"
ALIGNED = (Pointwise, PointwiseGradient, ops.BroadcastTo)  # axes are matched from the right
LEADING = (
    ops.Reshape, FusedMatMul, ops.Conv, FusedConv, FusedGroupedConv, ops.ConvInputGradient, ops.MaxPool, ops.AvgPool,
    ops.AdaptiveMaxPool, ops.AdaptiveAvgPool, ops.Upsample, ops.GroupNorm, ops.Attention,
    Quantize, Dequantize, ByteTable, QuantizedConv, QuantizedMatMul,
)  # fmt: skip
ALONG_THE_LAST = (ops.Softmax, ops.LogSoftmax, ops.LayerNorm, ops.RMSNorm, ops.BatchNormInference)
OF_STEPS = (ops.LSTM, ops.GRU, ops.RNN)
WHICH_KEEP_IT = (  # their result has the axis of the batch if it was kept, and it is the only one
    ops.Permute, ops.Transpose, ops.TupleGetItem, ops.MakeTensorTuple, ops.Split, ops.Stack, ops.GetItem,
    ops.Summation, ops.LogSumExp, ops.Embed,
)  # fmt: skip


def rows_apart(graph: Graph) -> bool:
    """Whether row i of every output follows from row i of every input, axis 0 of all of them; no where in doubt."""
    ends = [*graph.inputs, *(x for _, x in graph.outputs)]
    return all(_axes(x.type) == [0] and is_dim(x.shape[0]) for x in ends) and all(map(_apart, graph.order()))  # type: ignore[arg-type]


def _axes(type: Type) -> list[int]:
    """The axes whose size depends on the batch."""
    return [i for i, n in enumerate(type.shape) if isinstance(n, Size) and BATCH in dims_of(n)]


def _apart(node: Node) -> bool:
    """Whether the op mixes no rows."""
    results = [_axes(x) for x in parts(node.type)]
    given = [(len(x.shape), *_axes(x)) for parent in node.inputs for x in parts(parent.type) if _axes(x)]
    if isinstance(node.op, Input) or not (given or any(results)):
        return True
    if isinstance(node.op, ops.Iota):  # positions along another axis
        return not any(results)
    if any(len(axes) != 1 for axes in results) or any(len(x) != 2 for x in given):
        return False
    return _keeps(node, [(rank, axis) for rank, axis in given], results[0][0])


def _keeps(node: Node, given: list[tuple[int, ...]], result: int) -> bool:
    """The same, where each of the inputs `given` (rank, axis of the batch) and the result have one such axis."""
    match node.op:
        case op if isinstance(op, ALIGNED):
            return all(axis - rank == result - len(node.shape) for rank, axis in given)
        case op if isinstance(op, LEADING):
            return result == 0 and all(axis == 0 for _, axis in given)
        case ops.MatMul():
            return len(given) == 1 and given[0][1] < given[0][0] - 1 and not _axes(node.inputs[1].type)
        case op if isinstance(op, ALONG_THE_LAST):
            return all(axis < rank - 1 for rank, axis in given)
        case op if isinstance(op, OF_STEPS):
            return [axis for _, axis in given[:1]] == [1] and all(axis == 0 for _, axis in given[1:])
        case ops.Flip(axes):
            rank, axis = given[0]
            flipped = range(rank) if axes is None else [axes] if isinstance(axes, int) else axes
            return axis not in [k % rank for k in flipped]
        case op:
            return bool(given) and isinstance(op, WHICH_KEEP_IT)
