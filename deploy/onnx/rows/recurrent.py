"""RNN, GRU and LSTM: needle's sequence ops where they are these, a general op otherwise; and their export."""

from __future__ import annotations

from typing import Any

import numpy

from needle import ops
from needle.sizes import Size

from ...ir import Node
from .. import make
from ..at import At
from ..make import Unsupported, add, apply, concat, index, matmul, permute, reshape
from ..ops import ACTIVATIONS, DEFAULTS, GATES, Recurrent
from ..row import Row

STANDARD = {"RNN": ("tanh",), "GRU": ("sigmoid", "tanh"), "LSTM": ("sigmoid", "tanh", "tanh")}
ORDER = {"RNN": (0,), "GRU": (1, 0, 2), "LSTM": (0, 2, 3, 1)}  # of ONNX's gates as needle has them


def _activations(at: At, kind: str, directions: int) -> tuple[Any, ...]:
    """(name, alpha, beta) of each activation of each direction."""
    names = [n.lower() for n in at.get("activations") or STANDARD[kind] * directions]
    each = len(STANDARD[kind])
    if len(names) != each * directions or any(n not in ACTIVATIONS for n in names):
        raise Unsupported(f"activations {names}")
    alphas, betas = iter(at.get("activation_alpha") or ()), iter(at.get("activation_beta") or ())
    found = []
    for name in names:
        a, b = DEFAULTS.get(name, (0.0, 0.0))
        takes = name in DEFAULTS
        both = name in ("affine", "hardsigmoid", "scaledtanh")
        found.append((name, next(alphas, a) if takes else a, next(betas, b) if both else b))
    return tuple(tuple(found[i : i + each]) for i in range(0, len(found), each))


def _read(kind: str) -> Any:
    def read(at: At, x: Node, W: Node, R: Node, B: Node | None = None, lengths: Node | None = None,
             h0: Node | None = None, c0: Node | None = None, P: Node | None = None) -> tuple[Any, ...]:  # fmt: skip
        way = at.get("direction", "forward")
        directions = {"bidirectional": ("forward", "reverse")}.get(way, (way,))
        activations = _activations(at, kind, len(directions))
        layout = at.get("layout", 0)
        if layout:
            x = permute(x, (1, 0, 2))
            h0, c0 = (None if v is None else permute(v, (1, 0, 2)) for v in (h0, c0))
        if lengths is not None and make.known(lengths) and (lengths.op.array == x.shape[0]).all():
            lengths = None
        standard = all(tuple(n for n, _, _ in a) in _standards(kind) for a in activations)
        simple = standard and not any(v is not None for v in (lengths, P)) and at.get("clip") is None
        if kind == "GRU":
            simple = simple and bool(at.get("linear_before_reset", 0))
        if simple and not at.get("input_forget", 0):
            made = _needle(kind, directions, activations, x, W, R, B, h0, c0)
        else:
            made = _general(at, kind, directions, activations, x, W, R, B, lengths, h0, c0, P)
        if layout:
            y, *states = made
            made = (permute(y, (2, 0, 1, 3)), *(permute(s, (1, 0, 2)) for s in states))
        return tuple(made[: max(len(at.outputs), 1)])

    return read


def _standards(kind: str) -> tuple[tuple[str, ...], ...]:
    return (STANDARD[kind], ("relu",)) if kind == "RNN" else (STANDARD[kind],)


def _general(at: At, kind: str, directions: Any, activations: Any, x: Node, W: Node, R: Node, *more: Any) -> Any:
    names = ("B", "lengths", "h0", "c0", "P")
    given = {name: v for name, v in zip(names, more, strict=True) if v is not None}
    op = Recurrent(
        kind, directions, activations, tuple(given), at.get("clip"), bool(at.get("linear_before_reset", 0)),
        bool(at.get("input_forget", 0)),
    )  # fmt: skip
    return make.items(op, x, W, R, *given.values())


def _needle(kind: str, directions: Any, activations: Any, x: Node, W: Node, R: Node, B: Any, h0: Any, c0: Any) -> Any:
    """Each direction by needle's op, on gates that one matrix product makes for all steps."""
    hidden = R.shape[2]
    outs, lasts, cells = [], [], []
    for d, way in enumerate(directions):
        seen = apply(ops.Flip((0,)), x) if way == "reverse" else x
        gates = matmul(seen, permute(_ordered(kind, index(W, 0, d), hidden), (1, 0)))
        recurrent = permute(_ordered(kind, index(R, 0, d), hidden), (1, 0))
        count = GATES[kind] * hidden
        if B is None:
            from_x = from_h = make.const(numpy.zeros(count), x.type.dtype)
        else:
            row = index(B, 0, d)
            from_x, from_h = (_ordered(kind, index(row, 0, (a, a + count, 1)), hidden) for a in (0, count))
        zeros = _zeros(x, hidden)
        h = zeros if h0 is None else index(h0, 0, d)
        c = zeros if c0 is None else index(c0, 0, d)
        if kind == "LSTM":
            gates = add(gates, _wide(add(from_x, from_h), gates))
            y, last, _, _ = make.items(ops.LSTM(), gates, h, c, recurrent)
            cells.append(last)
        elif kind == "GRU":  # ONNX keeps z h + (1 - z) n, as needle does
            y = make.items(ops.GRU(), add(gates, _wide(from_x, gates)), h, recurrent, from_h)[0]
        else:
            relu = activations[d][0][0] == "relu"
            y = apply(ops.RNN("relu" if relu else "tanh"), add(gates, _wide(add(from_x, from_h), gates)), h, recurrent)
        lasts.append(index(y, 0, -1))
        outs.append(apply(ops.Flip((0,)), y) if way == "reverse" else y)

    def stacked(parts: list[Node], axis: int) -> Node:
        return concat([reshape(p, (*p.shape[:axis], 1, *p.shape[axis:])) for p in parts], axis)

    results = [stacked(outs, 1), stacked(lasts, 0)]
    return (*results, stacked(cells, 0)) if kind == "LSTM" else tuple(results)


def _wide(row: Node, like: Node) -> Node:
    return make.broadcast(row, like.shape)


def _zeros(x: Node, hidden: int) -> Node:
    zeros = make.const(numpy.zeros((1, hidden)), x.type.dtype)
    return make.broadcast(zeros, (x.shape[1], hidden))


def _ordered(kind: str, w: Node, hidden: int) -> Node:
    """The gates of a weight (gates H, ...) as needle has them."""
    if kind == "RNN":
        return w
    parts = [index(w, 0, (g * hidden, (g + 1) * hidden, 1)) for g in ORDER[kind]]
    return concat(parts, 0)


# -- export ------------------------------------------------------------------------------------------------------------


def _write(kind: str) -> Any:
    """The gates are given, so W is the identity: x W^T = gates."""

    def write(w: Any, node: Node, gates: str, h0: str, *rest: str) -> Any:
        hidden = (node.type[0] if kind != "RNN" else node.type).shape[-1]
        if isinstance(hidden, Size):
            raise Unsupported("a hidden size that is open")
        count = GATES[kind] * hidden
        back = [ORDER[kind].index(g) for g in range(GATES[kind])]
        rows = numpy.concatenate([numpy.arange(g * hidden, (g + 1) * hidden) for g in back])
        eye = numpy.eye(count, dtype="float32")[rows][None]
        c0, recurrent, bias = rest[0] if kind == "LSTM" else "", rest[-1], ""
        if kind == "GRU":
            recurrent, own = rest
            half = w.add("Gather", (own, w.ints(rows.tolist())), axis=0)
            zeros = w.constant_of([0.0] * count)
            bias = w.add("Unsqueeze", (w.add("Concat", (zeros, half), axis=0), w.ints([0])))
        R = w.add("Gather", (w.transpose(recurrent, (1, 0)), w.ints(rows.tolist())), axis=0)
        R, h0 = (w.add("Unsqueeze", (v, w.ints([0]))) for v in (R, h0))
        given = [gates, w.constant(eye), R, bias, "", h0]
        extra: dict[str, Any] = {"hidden_size": hidden}
        if kind == "LSTM":
            given.append(w.add("Unsqueeze", (c0, w.ints([0]))))
        if kind == "GRU":
            extra["linear_before_reset"] = 1
        if kind == "RNN":
            extra["activations"] = ["Relu" if node.op.nonlinearity == "relu" else "Tanh"]
        made = w.add(kind, given, results=3 if kind == "LSTM" else 2, **extra)
        y = w.add("Squeeze", (made[0], w.ints([1])))
        if kind == "RNN":
            return y
        return (y, w.add("Squeeze", (made[2], w.ints([0]))), None, None) if kind == "LSTM" else (y, None)

    return write


ROWS: dict[str, Row] = {
    "LSTM": Row(_read("LSTM"), {ops.LSTM: _write("LSTM")}),
    "GRU": Row(_read("GRU"), {ops.GRU: _write("GRU")}),
    "RNN": Row(_read("RNN"), {ops.RNN: _write("RNN")}),
}
