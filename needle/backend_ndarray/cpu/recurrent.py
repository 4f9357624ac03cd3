"""LSTM, GRU and plain RNN on NDArrays, by the compiled kernels; see the twins in `plain`."""

from __future__ import annotations

from typing import Any

from needle.errors import ShapeError

from .. import ndarray_backend_cpu as kernels
from ..ndarray import NDArray


def _make(like: NDArray, *shapes: tuple[int, ...]) -> list[NDArray]:
    return [NDArray.make(shape, device=like.device) for shape in shapes]


def _handles(*arrays: NDArray) -> list[Any]:
    return [array.compact()._handle for array in arrays]


def _sizes(where: str, parts: int, gates: NDArray, W_hh: NDArray, *states: NDArray) -> tuple[int, int, int]:
    """T, B and H: gates (T, B, parts H), W_hh (H, parts H), each state (B, H)."""
    (batch, hidden), steps = states[0].shape, gates.shape[0]
    shapes = [gates.shape[1:], W_hh.shape, *(state.shape for state in states)]
    if shapes != [(batch, parts * hidden), (hidden, parts * hidden), *[(batch, hidden)] * len(states)]:
        given = ", ".join(str(x.shape) for x in (gates, *states, W_hh))
        raise ShapeError(f"[{where}] needs gates (T, B, {parts}H), states (B, H), W_hh (H, {parts}H), got {given}")
    return steps, batch, hidden


def lstm(gates: NDArray, h0: NDArray, c0: NDArray, W_hh: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """i, f, g, o = gates_t + h W_hh; c = sigmoid(f) c + sigmoid(i) tanh(g); h = sigmoid(o) tanh(c), for t = 0..T-1.

    gates (T, B, 4H) hold x W_ih and the biases; h0, c0 (B, H), W_hh (H, 4H). Returns h (T, B, H) and c (T, B, H) of
    every step, and the gates after their activations (T, B, 4H).
    """
    steps, batch, hidden = _sizes("lstm", 4, gates, W_hh, h0, c0)
    out, cells, act = _make(gates, (steps, batch, hidden), (steps, batch, hidden), gates.shape)
    kernels.lstm(*_handles(gates, h0, c0, W_hh), *_handles(out, cells, act), steps, batch, hidden)
    return out, cells, act


def lstm_gradient(
    d_out: NDArray, d_c_last: NDArray, out: NDArray, c_all: NDArray, act: NDArray, h0: NDArray, c0: NDArray,
    W_hh: NDArray,
) -> tuple[NDArray, NDArray, NDArray, NDArray]:  # fmt: skip
    """The gradients of `lstm` back through time: d_gates (T, B, 4H), dh0, dc0 (B, H), dW_hh (H, 4H).

    d_out (T, B, H) is the gradient of every step's h, d_c_last (B, H) that of the last c.
    """
    steps, batch, hidden = out.shape
    made = _make(out, act.shape, h0.shape, c0.shape, W_hh.shape)
    given = _handles(d_out, d_c_last, out, c_all, act, h0, c0, W_hh)
    kernels.lstm_gradient(*given, *_handles(*made), steps, batch, hidden)
    d_gates, dh0, dc0, dW_hh = made
    return d_gates, dh0, dc0, dW_hh


def gru(gates: NDArray, h0: NDArray, W_hh: NDArray, bias_hh: NDArray) -> tuple[NDArray, NDArray]:
    """r, z = sigmoid(x_rz + h W_rz + b_rz); n = tanh(x_n + r (h W_n + b_n)); h = n + z (h - n), for t = 0..T-1.

    gates (T, B, 3H) hold x W_ih and its biases; h0 (B, H), W_hh (H, 3H), bias_hh (3H,). Returns h (T, B, H) of every
    step, and r, z, h W_n + b_n and n (T, B, 4H).
    """
    steps, batch, hidden = _sizes("gru", 3, gates, W_hh, h0)
    out, act = _make(gates, (steps, batch, hidden), (steps, batch, 4 * hidden))
    kernels.gru(*_handles(gates, h0, W_hh, bias_hh), *_handles(out, act), steps, batch, hidden)
    return out, act


def gru_gradient(
    d_out: NDArray, out: NDArray, act: NDArray, h0: NDArray, W_hh: NDArray
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """The gradients of `gru` back through time: d_gates (T, B, 3H), dh0 (B, H), dW_hh (H, 3H), dbias_hh (3H,)."""
    steps, batch, hidden = out.shape
    made = _make(out, (steps, batch, 3 * hidden), h0.shape, W_hh.shape, (3 * hidden,))
    kernels.gru_gradient(*_handles(d_out, out, act, h0, W_hh), *_handles(*made), steps, batch, hidden)
    d_gates, dh0, dW_hh, dbias_hh = made
    return d_gates, dh0, dW_hh, dbias_hh


def rnn(gates: NDArray, h0: NDArray, W_hh: NDArray, relu: bool) -> NDArray:
    """h = f(gates_t + h W_hh) for t = 0..T-1, f relu or tanh; gates (T, B, H), h0 (B, H), W_hh (H, H)."""
    sizes = _sizes("rnn", 1, gates, W_hh, h0)
    (out,) = _make(gates, gates.shape)
    kernels.rnn(*_handles(gates, h0, W_hh, out), *sizes, relu)
    return out


def rnn_gradient(
    d_out: NDArray, out: NDArray, h0: NDArray, W_hh: NDArray, relu: bool
) -> tuple[NDArray, NDArray, NDArray]:
    """The gradients of `rnn` back through time: d_gates (T, B, H), dh0 (B, H), dW_hh (H, H)."""
    d_gates, dh0, dW_hh = _make(out, out.shape, h0.shape, W_hh.shape)
    kernels.rnn_gradient(*_handles(d_out, out, h0, W_hh, d_gates, dh0, dW_hh), *out.shape, relu)
    return d_gates, dh0, dW_hh
