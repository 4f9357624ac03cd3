"""Samples, meaning, PyTorch counterpart and refusals of the recurrent networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from needle import ops
from tests.case import Array, Case, Refusal, by_differences, normal, torch
from tests.families.activations import sigmoid


def lstm(_: Any, gates: Array, h: Array, c: Array, W: Array) -> tuple[Array, ...]:
    hidden, cells, activated = [], [], []
    for step in gates:
        z = step + h @ W
        i, f, g, o = (z[:, k * h.shape[1] : (k + 1) * h.shape[1]] for k in range(4))
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        c = f * c + i * g
        h = o * np.tanh(c)
        hidden.append(h)
        cells.append(c)
        activated.append(np.concatenate([i, f, g, o], axis=1))
    return np.stack(hidden), c, np.stack(cells), np.stack(activated)


def gru(_: Any, gates: Array, h: Array, W: Array, bias: Array) -> tuple[Array, ...]:
    hidden, activated = [], []
    for step in gates:
        parts = [slice(k * h.shape[1], (k + 1) * h.shape[1]) for k in range(3)]
        (x_r, x_z, x_n), (h_r, h_z, h_n) = ([a[:, part] for part in parts] for a in (step, h @ W + bias))
        r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
        n = np.tanh(x_n + r * h_n)
        h = (1 - z) * n + z * h
        hidden.append(h)
        activated.append(np.concatenate([r, z, h_n, n], axis=1))
    return np.stack(hidden), np.stack(activated)


def rnn(op: Any, gates: Array, h: Array, W: Array) -> Array:
    hidden = []
    for step in gates:
        z = step + h @ W
        h = np.tanh(z) if op.nonlinearity == "tanh" else z * (z > 0)
        hidden.append(h)
    return np.stack(hidden)


def lstm_gradient(op: Any, g: Array, d_cell: Array, *arrays: Array) -> tuple[Array, ...]:
    return tuple(by_differences(lambda *a: lstm(op, *a), (g, d_cell), arrays[:4]))


def gru_gradient(op: Any, g: Array, *arrays: Array) -> tuple[Array, ...]:
    return tuple(by_differences(lambda *a: gru(op, *a), (g,), arrays[:4]))


def rnn_gradient(op: Any, g: Array, *arrays: Array) -> tuple[Array, ...]:
    return tuple(by_differences(lambda *a: rnn(op, *a), (g,), arrays[:3]))


def torch_lstm(_: Any, gates: Any, h: Any, c: Any, W: Any) -> Any:
    """torch's own LSTM on inputs that are the gates: its input weight is the identity."""
    states, hidden = [], h.shape[1]
    for step in gates:
        h, c = torch.lstm_cell(step, (h, c), torch.eye(4 * hidden), W.T)
        states.append(h)
    return torch.stack(states), c


def torch_gru(_: Any, gates: Any, h: Any, W: Any, bias: Any) -> Any:
    """torch's own GRU on inputs that are the gates."""
    states, wide = [], 3 * h.shape[1]
    for step in gates:
        h = torch.gru_cell(step, h, torch.eye(wide), W.T, torch.zeros(wide), bias)
        states.append(h)
    return (torch.stack(states),)


def torch_rnn(op: Any, gates: Any, h: Any, W: Any) -> Any:
    """torch's own RNN on inputs that are the gates."""
    states, cell = [], torch.rnn_tanh_cell if op.nonlinearity == "tanh" else torch.rnn_relu_cell
    for step in gates:
        h = cell(step, h, torch.eye(h.shape[1]), W.T)
        states.append(h)
    return torch.stack(states)


def _lstm_saved(g: Array, d_cell: Array, *inputs: Array) -> tuple[Array, ...]:
    out, _, cells, activated = MEANING[ops.LSTM](None, *inputs)
    return out, cells, activated


def _rnn_saved(op: Any) -> Callable[..., tuple[Array, ...]]:
    return lambda g, *inputs: (rnn(op, *inputs),)


STATES = ((3, 2, 8), (2, 2), (2, 2), (2, 8))  # gates, h0, c0, W of an LSTM
GRU_STATES = ((3, 2, 6), (2, 2), (2, 6), (6,))  # gates, h0, W, bias of a GRU
RNN_STATES = ((3, 2, 2), (2, 2), (2, 2))  # gates, h0, W of an RNN

CASES: list[Case] = [
    *(Case(ops.LSTM(), tuple(normal(*shape) for shape in STATES), outputs=n) for n in (1, 2)),
    Case(ops.LSTM(), tuple(normal(*shape) for shape in ((1, 1, 4), (1, 1), (1, 1), (1, 4))), outputs=2),
    Case(ops.LSTMGradient(), (normal(3, 2, 2), *(normal(*s) for s in (STATES[1], *STATES))), saved=_lstm_saved),
    *(
        Case(ops.GRU(), tuple(normal(*shape) for shape in shapes), outputs=1)
        for shapes in (GRU_STATES, ((1, 1, 3), (1, 1), (1, 3), (3,)), ((2, 3, 15), (3, 5), (5, 15), (15,)))
    ),
    Case(
        ops.GRUGradient(),
        (normal(3, 2, 2), *(normal(*s) for s in GRU_STATES)),
        saved=lambda g, *inputs: gru(None, *inputs),
    ),
    *(
        Case(ops.RNN(f), tuple(normal(*shape) for shape in shapes))
        for f in ("tanh", "relu")
        for shapes in (RNN_STATES, ((1, 1, 1), (1, 1), (1, 1)), ((2, 3, 5), (3, 5), (5, 5)))
    ),
    *(
        Case(op, (normal(3, 2, 2), *(normal(*s) for s in RNN_STATES)), saved=_rnn_saved(op))
        for op in (ops.RNNGradient(), ops.RNNGradient("relu"))
    ),
]

MEANING: dict[type, Callable[..., Any]] = {
    ops.LSTM: lstm,
    ops.LSTMGradient: lstm_gradient,
    ops.GRU: gru,
    ops.GRUGradient: gru_gradient,
    ops.RNN: rnn,
    ops.RNNGradient: rnn_gradient,
}

TORCH: dict[type, Callable[..., Any]] = {
    ops.LSTM: torch_lstm,
    ops.GRU: torch_gru,
    ops.RNN: torch_rnn,
}

REFUSALS: list[Refusal] = [
    (ops.LSTM(), ((3, 2, 8), (2, 3), (2, 2), (2, 8)), r"\[lstm\] needs gates \(T, B, 4H\) with T > 0"),
    (ops.LSTM(), ((3, 2, 8), (2, 2), (2, 3), (2, 8)), r"\[lstm\] needs c0 of the shape of h0 \(2, 2\), got \(2, 3\)"),
    (ops.GRU(), ((3, 2, 6), (2, 2), (2, 4), (6,)), r"\[gru\] needs gates \(T, B, 3H\) with T > 0"),
    (ops.GRU(), ((3, 2, 6), (2, 2), (2, 6), (2,)), r"\[gru\] needs a bias of shape \(6,\), got \(2,\)"),
    (ops.RNN(), ((0, 2, 2), (2, 2), (2, 2)), r"\[rnn\] needs gates \(T, B, H\) with T > 0"),
]  # fmt: skip
