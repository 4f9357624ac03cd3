"""What exporters have taken apart becomes one op again: GELU, layer normalisation, attention.

A rule maps a node to an equal one, or to None where it does not apply, as those of deploy/passes do; its docstring says
what becomes of what. Numbers change by rounding alone.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy

from needle import ops

from ..ir import Constant, Graph, Node, apply, same_type
from ..passes.rewrite import rewrite
from .make import items, permute, reshape

HALF_ROOT = math.sqrt(0.5)


def factors(node: Node) -> tuple[float, list[Node]]:
    """(c, xs) with node = c times the product of xs: products and quotients by numbers, taken apart."""
    match node:
        case Node(ops.MulScalar(c), (x,)):
            inner = factors(x)
            return c * inner[0], inner[1]
        case Node(ops.DivScalar(c), (x,)) if c != 0:
            inner = factors(x)
            return inner[0] / c, inner[1]
        case Node(ops.EWiseMul(), (a, b)):
            (m, xs), (n, ys) = factors(a), factors(b)
            return m * n, xs + ys
    return 1.0, [node]


def scaled(node: Node) -> tuple[float, Node]:
    """(c, x) with node = c x."""
    match node:
        case Node(ops.MulScalar(c), (x,)):
            inner = scaled(x)
            return c * inner[0], inner[1]
        case Node(ops.DivScalar(c), (x,)) if c != 0:
            inner = scaled(x)
            return inner[0] / c, inner[1]
    return 1.0, node


def gelu(node: Node, uses: Counter[Node]) -> Node | None:
    """x (1 + erf(x / sqrt 2)) / 2  =>  GELU(x)"""
    if not isinstance(node.op, ops.EWiseMul | ops.MulScalar | ops.DivScalar):
        return None
    c, parts = factors(node)
    if abs(c - 0.5) > 1e-6 or len(parts) != 2:
        return None
    for x, share in (parts, parts[::-1]):
        match share:
            case Node(ops.AddScalar(one), (Node(ops.Erf(), (inner,)),)) if one == 1:
                s, argument = scaled(inner)
                if argument is x and abs(s - HALF_ROOT) < 1e-6:
                    return apply(ops.GELU(), x)
    return None


def layer_norm(node: Node, uses: Counter[Node]) -> Node | None:
    """(x - mean(x)) / sqrt(mean((x - mean(x))^2) + eps) w + b  =>  LayerNorm(eps)(x, w, b), w and b (D,)"""
    match node:
        case Node(ops.EWiseAdd(), (Node(ops.EWiseMul(), (Node() as first, Node() as second)), Node() as b)):
            for normed, w in ((first, second), (second, first)):
                found = _normed(normed)
                if found is not None and w.shape == b.shape == found[0].shape[-1:]:
                    x, eps = found
                    return items(ops.LayerNorm(eps), x, w, b)[0]
    return None


def _normed(node: Node) -> tuple[Node, float] | None:
    """(x, eps) of x with mean 0 and variance 1 over the last axis."""
    match node:
        case Node(ops.EWiseDiv(), (centred, Node(ops.Sqrt(), (Node(ops.AddScalar(eps), (var,)),)))):
            match centred, var:
                case (
                    Node(ops.EWiseAdd(), (x, Node(ops.Negate(), (Node(ops.Mean() as mu, (again,)),)))),
                    Node(ops.Mean() as spread, (squares,)),
                ) if x is again and _last(mu, x) and _last(spread, x) and _square_of(squares, centred):
                    return x, float(eps)
    return None


def _last(op: ops.Mean, x: Node) -> bool:
    axes = op.axes if isinstance(op.axes, tuple) else (op.axes,)
    return op.keepdims and axes in ((-1,), (len(x.shape) - 1,))


def _square_of(squares: Node, x: Node) -> bool:
    match squares:
        case Node(ops.PowerScalar(2), (a,)):
            return a is x
        case Node(ops.EWiseMul(), (a, b)):
            return a is x and b is x
    return False


def attention(node: Node, uses: Counter[Node]) -> Node | None:
    """softmax(c q k^T) v  =>  Attention(c)(q, k, v), causal where a mask of -infinity above the diagonal is added"""
    match node:
        case Node(ops.MatMul(), (Node(ops.Softmax(), (scores,)), v)):
            causal = False
            match scores:
                case Node(ops.EWiseAdd(), (masked, Node(Constant(mask)))) | Node(
                    ops.EWiseAdd(), (Node(Constant(mask)), masked)
                ):
                    if not _causal(mask, scores.shape) or not same_type(masked.type, scores.type):
                        return None
                    scores, causal = masked, True
            c, product = scaled(scores)
            match product:
                case Node(ops.MatMul(), (q, turned)):
                    a, q = scaled(q)
                    b, turned = scaled(turned)
                    return _attention(float(a * b * c), causal, q, turned, v, node)
    return None


def _attention(scale: float, causal: bool, q: Node, turned: Node, v: Node, node: Node) -> Node | None:
    rank = len(q.shape)
    if rank not in (3, 4) or not len(turned.shape) == len(v.shape) == rank or q.type.dtype != "float32":
        return None
    k = permute(turned, (*range(rank - 2), rank - 1, rank - 2))
    if k.shape != v.shape or (*q.shape[:-2], q.shape[-1]) != (*k.shape[:-2], k.shape[-1]):
        return None
    if rank == 3:  # (B, T, D): one head each
        q, k, v = (reshape(x, (x.shape[0], 1, *x.shape[1:])) for x in (q, k, v))
    y = items(ops.Attention(scale, causal), q, k, v)[0]
    return reshape(y, node.shape) if rank == 3 else y


def _causal(mask: numpy.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether a mask hides exactly what lies after each query."""
    if mask.ndim < 2 or mask.shape[-2:] != tuple(shape[-2:]) or mask.shape[-1] != mask.shape[-2]:
        return False
    hidden = numpy.triu(numpy.ones(mask.shape[-2:], dtype=bool), 1)
    return bool((mask[..., ~hidden] == 0).all() and (mask[..., hidden] < -1e30).all())


PATTERNS = (gelu, layer_norm, attention)


def fused(graph: Graph) -> Graph:
    """The graph with every pattern as one op."""
    for rule in PATTERNS:
        graph = rewrite(graph, rule)
    return graph
