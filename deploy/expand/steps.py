"""Steps of optimizers, as pointwise arithmetic."""

from __future__ import annotations

from typing import Any

from needle import ops

from ..ir import Node
from ..onnx.ops import Step
from .arithmetic import add, apply, cast, const, div, less, mul, sub, where

TENSORS = {"Adagrad": 3, "Adam": 4, "Momentum": 3}


def _step(node: Node) -> tuple[Node, ...]:
    op, (rate, count, *tensors) = node.op, node.inputs
    n = TENSORS[op.kind]
    k = len(tensors) // n
    steps = cast(count, "float32")
    kinds: dict[str, Any] = {"Adagrad": _adagrad, "Adam": _adam, "Momentum": _momentum}
    rows = [kinds[op.kind](op, rate, steps, *(tensors[i + j * k] for j in range(n))) for i in range(k)]
    return tuple(rows[i][j] for j in range(n - 1) for i in range(k))


def _root(x: Node) -> Node:
    return apply(ops.Sqrt(), x)


def _adagrad(op: Step, rate: Node, count: Node, x: Node, g: Node, h: Node) -> tuple[Node, ...]:
    rate = div(rate, add(mul(count, op.decay), 1.0))
    g = add(mul(x, op.norm), g)
    h = add(h, mul(g, g))
    return sub(x, div(mul(g, rate), add(_root(h), op.epsilon))), h


def _adam(op: Step, rate: Node, count: Node, x: Node, g: Node, v: Node, h: Node) -> tuple[Node, ...]:
    g = add(mul(x, op.norm), g)
    v = add(mul(v, op.alpha), mul(g, 1 - op.alpha))
    h = add(mul(h, op.beta), mul(mul(g, g), 1 - op.beta))
    left = [sub(_one(), apply(ops.EWisePow(), const(b, "float32"), count)) for b in (op.beta, op.alpha)]
    rate = where(less(const(0.0, "float32"), count), div(mul(rate, _root(left[0])), left[1]), rate)
    x = sub(x, div(mul(v, rate), add(_root(h), op.epsilon)))
    return mul(x, 1 - op.norm_after), v, h


def _momentum(op: Step, rate: Node, count: Node, x: Node, g: Node, v: Node) -> tuple[Node, ...]:
    g = add(mul(x, op.norm), g)
    share = where(less(const(0.0, "float32"), count), const(op.beta, "float32"), _one())
    v = add(mul(v, op.alpha), mul(g, share))
    return sub(x, mul(add(g, mul(v, op.alpha)) if op.nesterov else v, rate)), v


def _one() -> Node:
    return const(1.0, "float32")


TABLE: dict[type, Any] = {Step: _step}
