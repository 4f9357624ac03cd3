"""Which values of an optimised graph become maps of bytes."""

from __future__ import annotations

import math

from needle import ops
from needle.ops.pointwise import Pointwise
from needle.sizes import Size

from ..fused_ops import FusedConv, FusedMatMul
from ..ir import Graph, Node
from ..quantized_ops import EPILOGUES, MOST_PRODUCTS

MULTIPLE = 4


def product(node: Node) -> str:
    """Why a product stays in float32, empty if it becomes one of bytes."""
    if not isinstance(node.op, FusedConv | FusedMatMul):
        return f"there is no kernel of bytes for {type(node.op).__name__}"
    x, w = node.inputs[:2]
    steps = node.op.epilogue[node.op.epilogue[:1] == ("bias",) :]
    depth = math.prod(w.shape[:-2]) * -(-w.shape[-2] // MULTIPLE) * MULTIPLE
    if not w.known:
        return "its weights are computed"
    if steps not in EPILOGUES:
        return f"its steps {steps} are in another order than bytes have them"
    if depth > MOST_PRODUCTS:
        return f"it sums {depth} products, more than 32 bits hold"
    if any(isinstance(size, Size) for size in x.shape[1:]):
        return "its map has open sizes"
    return ""


def is_product(node: Node) -> bool:
    """Whether a product becomes one of bytes."""
    return not product(node)


def added(node: Node) -> Node | None:
    """What a product adds, if it does."""
    return node.inputs[-1] if "add" in node.op.epilogue else None


def moves(node: Node) -> bool:
    """Whether the node gives bytes of its input as they are: maxima are in order, reshapes move nothing."""
    match node:
        case Node(ops.MaxPool(), (x,)) if not x.known:
            return not any(isinstance(size, Size) for size in x.shape[1:3])
        case Node(ops.Reshape(), (x,)) if not x.known:
            return all(not isinstance(n, Size) and n % MULTIPLE == 0 for n in (x.shape[-1], node.shape[-1]))
    return False


def table_of(node: Node) -> Node | None:
    """What the node is a function of, number by number, so that a table of 256 bytes holds it; None if it is none."""
    match node:
        case Node(ops.BatchNormInference(), (x, *norm)) if all(n.known for n in norm) and not x.known:
            return x if not isinstance(x.shape[-1], Size) and x.shape[-1] % MULTIPLE == 0 else None
        case Node(Pointwise(), inputs) if all(not x.known and x.type.dtype == "float32" for x in (node, *inputs)):
            return next((x for x in inputs if all(_follows(other, x) for other in inputs)), None)
    return None


def _follows(node: Node, x: Node) -> bool:
    """Whether a node is x, or a function of it alone."""
    while node is not x:
        match node:
            case Node(Pointwise(), (inner,)) if not inner.known:
                node = inner
            case _:
                return False
    return True


def native(node: Node) -> bool:
    """Whether bytes are what computing the node gives at first."""
    while not is_product(node):
        inner = node.inputs[0] if moves(node) else table_of(node)
        if inner is None:
            return False
        node = inner
    return True


def wanted(graph: Graph) -> set[Node]:
    """The values that somebody reads as bytes."""
    found: set[Node] = set()
    for node in reversed(graph.order()):
        if node.known:
            continue
        if is_product(node):
            found.add(node.inputs[0])
            if (more := added(node)) is not None:
                found.add(more)
        elif node in found and native(node):
            inner = node.inputs[0] if moves(node) else table_of(node)
            if inner is not None:
                found.add(inner)
    return found
