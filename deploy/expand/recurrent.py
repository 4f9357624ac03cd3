"""Recurrent networks in full, unrolled: a step is products and pointwise ops; rows that have ended keep their state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from needle import ops

from ..ir import Node
from ..onnx.make import Unsupported
from ..onnx.ops import Recurrent
from ..onnx.ops.recurrent import GATES
from .arithmetic import (
    add,
    apply,
    at,
    broadcast,
    cast,
    clip,
    const,
    div,
    less,
    mul,
    permute,
    reshape,
    slices,
    stack,
    sub,
    where,
)

STEPS = 256  # of an unrolled network, at most


def _exponential(x: Node) -> Node:
    return apply(ops.Exp(), x)


ACTIVATIONS: dict[str, Callable[[Node, float, float], Node]] = {
    "affine": lambda x, a, b: add(mul(x, a), b),
    "elu": lambda x, a, b: where(less(x, 0.0), mul(add(_exponential(clip(x, None, 0.0)), -1.0), a), x),
    "hardsigmoid": lambda x, a, b: clip(add(mul(x, a), b), 0.0, 1.0),
    "leakyrelu": lambda x, a, b: where(less(x, 0.0), mul(x, a), x),
    "relu": lambda x, a, b: apply(ops.ReLU(), x),
    "scaledtanh": lambda x, a, b: mul(apply(ops.Tanh(), mul(x, b)), a),
    "sigmoid": lambda x, a, b: apply(ops.Sigmoid(), x),
    "softplus": lambda x, a, b: apply(ops.Softplus(), x),
    "softsign": lambda x, a, b: div(x, add(apply(ops.Abs(), x), 1.0)),
    "tanh": lambda x, a, b: apply(ops.Tanh(), x),
    "thresholdedrelu": lambda x, a, b: where(less(const(a, "float32"), x), x, const(0.0, "float32")),
}


class _Network:
    """One direction: its weights, and one step after the other."""

    def __init__(self, op: Recurrent, d: int, W: Node, R: Node, extra: dict[str, Node], hidden: int) -> None:
        self.op, self.d, self.hidden = op, d, hidden
        self.W, self.R = permute(at(W, 0, d), (1, 0)), permute(at(R, 0, d), (1, 0))
        gates = GATES[op.kind] * hidden
        both = at(extra["B"], 0, d) if "B" in extra else const(numpy.zeros(2 * gates), W.type.dtype)
        self.wb, self.rb = slices(both, 0, 0, gates), slices(both, 0, gates, 2 * gates)
        self.peep = None if "P" not in extra else at(extra["P"], 0, d)

    def f(self, i: int, x: Node) -> Node:
        """Activation i of this direction."""
        name, a, b = self.op.activations[self.d][i]
        return ACTIVATIONS[name](x if self.op.clip is None else clip(x, -self.op.clip, self.op.clip), a, b)

    def part(self, x: Node, i: int) -> Node:
        """Gate i of a row of gates."""
        return slices(x, len(x.shape) - 1, i * self.hidden, (i + 1) * self.hidden)

    def step(self, seen: Node, h: Node, c: Node) -> tuple[Node, Node]:
        """(h, c) after a step, whose inputs are products with W already."""
        product = ops.MatMul()
        if self.op.kind == "RNN":
            return self.f(0, add(seen, add(apply(product, h, self.R), self.rb))), c
        if self.op.kind == "GRU":
            return self.gated(seen, h), c
        gates = add(seen, add(apply(product, h, self.R), self.rb))
        i, o, f, g = (self.part(gates, k) for k in range(4))
        i = self.f(0, self.peeped(i, 0, c))
        f = add(mul(i, -1.0), 1.0) if self.op.input_forget else self.f(0, self.peeped(f, 2, c))
        new = add(mul(f, c), mul(i, self.f(1, g)))
        return mul(self.f(0, self.peeped(o, 1, new)), self.f(2, new)), new

    def peeped(self, gate: Node, i: int, c: Node) -> Node:
        """A gate that sees the cell."""
        return gate if self.peep is None else add(gate, mul(c, self.part(self.peep, i)))

    def gated(self, seen: Node, h: Node) -> Node:
        """h of a GRU after a step."""
        product = ops.MatMul()
        R, rb = self.R, self.rb
        z, r = (
            self.f(0, add(self.part(seen, k), add(apply(product, h, self.part(R, k)), self.part(rb, k))))
            for k in (0, 1)
        )
        Rh, bh = self.part(R, 2), self.part(rb, 2)
        if self.op.linear_before_reset:
            own = mul(r, add(apply(product, h, Rh), bh))
        else:
            own = add(apply(product, mul(r, h), Rh), bh)
        n = self.f(1, add(self.part(seen, 2), own))
        return add(mul(sub(const(1.0, z.type.dtype), z), n), mul(z, h))


def _unrolled(node: Node) -> tuple[Node, ...]:
    op, (x, W, R, *more) = node.op, node.inputs
    extra, hidden = dict(zip(op.given, more, strict=True)), R.shape[-1]
    steps, batch = x.shape[:2]
    if not isinstance(steps, int) or steps > STEPS or x.type.dtype != "float32":
        raise Unsupported("a number of steps that is open or large")
    lengths = cast(extra["lengths"], "int64") if "lengths" in extra else None
    outs, lasts, cells = [], [], []
    for d, direction in enumerate(op.directions):
        net = _Network(op, d, W, R, extra, hidden)
        zeros = broadcast(const(0.0, x.type.dtype), (batch, hidden))
        h, c = (at(extra[name], 0, d) if name in extra else zeros for name in ("h0", "c0"))
        given = _turned(x, lengths) if direction == "reverse" else x
        rows = apply(ops.MatMul(), reshape(given, (steps * batch, x.shape[2])), net.W)
        seen = reshape(add(rows, net.wb), (steps, batch, GATES[op.kind] * hidden))
        made = []
        for t in range(steps):
            new_h, new_c = net.step(at(seen, 0, t), h, c)
            if lengths is not None:
                live = reshape(less(const(t, "int64"), lengths), (batch, 1))
                new_h, new_c = where(live, new_h, h), where(live, new_c, c)
                made.append(where(live, new_h, const(0.0, x.type.dtype)))
            else:
                made.append(new_h)
            h, c = new_h, new_c
        y = stack(made, 0)
        outs.append(_turned(y, lengths) if direction == "reverse" else y)
        lasts.append(h)
        cells.append(c)
    results = stack(outs, 1), stack(lasts, 0), stack(cells, 0)
    return results if op.kind == "LSTM" else results[:2]


def _turned(x: Node, lengths: Node | None) -> Node:
    """Steps backwards: of each row as many as it has."""
    if lengths is None:
        return apply(ops.Flip((0,)), x)
    steps, batch = x.shape[:2]
    t = const(numpy.arange(steps)[:, None], "int64")
    n = reshape(lengths, (1, batch))
    ids = where(less(t, n), sub(add(n, -1), t), t)
    return apply(ops.Gather(0), x, broadcast(reshape(ids, (steps, batch, 1)), x.shape))


TABLE: dict[type, Any] = {Recurrent: _unrolled}
