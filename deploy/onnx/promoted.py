"""The casts that ops of needle imply, as nodes: operators of ONNX take operands of one dtype, and give that."""

from __future__ import annotations

from functools import reduce

from needle import ops
from needle.ops.pointwise import Pointwise
from needle.types import Type, promote

from ..ir import Graph, Node
from ..ir import apply as node_of
from .dtypes import is_float
from .make import cast


def promoted(graph: Graph) -> Graph:
    """The same graph, in which every operand has the dtype in which its op computes."""
    new: dict[Node, Node] = {}
    for node in graph.order():
        inputs = tuple(new[x] for x in node.inputs)
        new[node] = _with_casts(node if inputs == node.inputs else Node(node.op, inputs, node.type))
    return graph.of(new)


def _with_casts(node: Node) -> Node:
    """f(x)  =>  cast(f(cast(x)))"""
    dtype = _computed_in(node)
    wanted = ["bool" if isinstance(node.op, ops.Where) and i == 0 else dtype for i in range(len(node.inputs))]
    if dtype is None or [x.type.dtype for x in node.inputs] == wanted:
        return node
    made = node_of(node.op, *[cast(x, each) for x, each in zip(node.inputs, wanted, strict=True) if each])
    return cast(made, node.type.dtype)


def _computed_in(node: Node) -> str | None:
    """The dtype of an op's operands, as docs/dtypes.md has it; None for ops that do not promote them."""
    if not isinstance(node.type, Type):
        return None
    match node.op:
        case ops.LogicalAnd() | ops.LogicalOr() | ops.LogicalNot():
            return "bool"
        case ops.Mean() | ops.Var() | ops.SquaredDifference():  # of integers in float64, where nothing wraps around
            met = _met(node)
            return met if is_float(met) else "float64"
        case ops.IsNaN() | ops.IsInf():
            met = _met(node)
            return met if is_float(met) else "float32"
        case ops.Equal() | ops.NotEqual():
            return _met(node)
        case ops.Where() | ops.Summation() | ops.CumSum() | ops.MatMul():
            return node.type.dtype
        case ops.Softmax() | ops.LogSoftmax() | ops.LogSumExp():
            return node.type.dtype
        case Pointwise():
            dtype = _met(node) if node.type.dtype == "bool" else node.type.dtype
            return "int32" if dtype == "bool" else dtype  # ONNX orders, adds and multiplies no bool
    return None


def _met(node: Node) -> str:
    """The dtype in which the operands meet."""
    dtypes: list[str] = [x.type.dtype for x in node.inputs]
    return reduce(lambda a, b: a if a == b else promote(a, b), dtypes)
