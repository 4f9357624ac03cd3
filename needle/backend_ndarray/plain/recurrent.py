"""LSTM, GRU and plain RNN on numpy arrays of any float dtype."""

from __future__ import annotations

import numpy as np


def lstm(
    gates: np.ndarray, h0: np.ndarray, c0: np.ndarray, W_hh: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """i, f, g, o = gates_t + h W_hh; c = sigmoid(f) c + sigmoid(i) tanh(g); h = sigmoid(o) tanh(c), for t = 0..T-1.

    gates (T, B, 4H) hold x W_ih and the biases; h0, c0 (B, H), W_hh (H, 4H). Returns h (T, B, H) and c (T, B, H) of
    every step, and the gates after their activations (T, B, 4H).
    """
    steps, batch, hidden = gates.shape[0], *h0.shape
    act = np.empty_like(gates)
    out = np.empty((steps, batch, hidden), dtype=gates.dtype)
    cells = np.empty_like(out)
    h, c = h0, c0
    for t in range(steps):
        z = act[t]
        z[...] = gates[t] + h @ W_hh
        candidate = np.tanh(z[:, 2 * hidden : 3 * hidden])
        z[...] = _sigmoid(z)
        z[:, 2 * hidden : 3 * hidden] = candidate
        i, f, g, o = np.split(z, 4, axis=1)
        c = f * c + i * g
        h = o * np.tanh(c)
        out[t], cells[t] = h, c
    return out, cells, act


def lstm_gradient(
    d_out: np.ndarray, d_c_last: np.ndarray, out: np.ndarray, c_all: np.ndarray, act: np.ndarray,
    h0: np.ndarray, c0: np.ndarray, W_hh: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """The gradients of `lstm` back through time: d_gates (T, B, 4H), dh0, dc0 (B, H), dW_hh (H, 4H).

    d_out (T, B, H) is the gradient of every step's h, d_c_last (B, H) that of the last c.
    """
    d_gates = np.empty_like(act)
    dh, dc = np.zeros_like(h0), d_c_last
    for t in reversed(range(len(out))):
        i, f, g, o = np.split(act[t], 4, axis=1)
        tanh_c = np.tanh(c_all[t])
        dh = dh + d_out[t]
        dc = dc + dh * o * (1 - tanh_c * tanh_c)
        before = c_all[t - 1] if t else c0
        parts = (dc * g * i * (1 - i), dc * before * f * (1 - f), dc * i * (1 - g * g), dh * tanh_c * o * (1 - o))
        d_gates[t] = np.concatenate(parts, axis=1)
        dh = d_gates[t] @ W_hh.T
        dc = dc * f
    return d_gates, dh, dc.copy(), np.tensordot(_before(h0, out), d_gates, axes=((0, 1), (0, 1)))


def gru(gates: np.ndarray, h0: np.ndarray, W_hh: np.ndarray, bias_hh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """r, z = sigmoid(x_rz + h W_rz + b_rz); n = tanh(x_n + r (h W_n + b_n)); h = n + z (h - n), for t = 0..T-1.

    gates (T, B, 3H) hold x W_ih and its biases; h0 (B, H), W_hh (H, 3H), bias_hh (3H,). Returns h (T, B, H) of every
    step, and r, z, h W_n + b_n and n (T, B, 4H).
    """
    steps, batch, hidden = gates.shape[0], *h0.shape
    act = np.empty((steps, batch, 4 * hidden), dtype=gates.dtype)
    out = np.empty((steps, batch, hidden), dtype=gates.dtype)
    h = h0
    for t in range(steps):
        own = h @ W_hh + bias_hh
        r, z = np.split(_sigmoid(gates[t, :, : 2 * hidden] + own[:, : 2 * hidden]), 2, axis=1)
        m = own[:, 2 * hidden :]
        n = np.tanh(gates[t, :, 2 * hidden :] + r * m)
        h = n + z * (h - n)
        out[t], act[t] = h, np.concatenate([r, z, m, n], axis=1)
    return out, act


def gru_gradient(
    d_out: np.ndarray, out: np.ndarray, act: np.ndarray, h0: np.ndarray, W_hh: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of `gru` back through time: d_gates (T, B, 3H), dh0 (B, H), dW_hh (H, 3H), dbias_hh (3H,)."""
    d_gates = np.empty((*out.shape[:2], 3 * out.shape[2]), dtype=out.dtype)
    d_own, before, dh = np.empty_like(d_gates), _before(h0, out), np.zeros_like(h0)
    for t in reversed(range(len(out))):
        r, z, m, n = np.split(act[t], 4, axis=1)
        dh = dh + d_out[t]
        dn = dh * (1 - z) * (1 - n * n)
        dr, dz = dn * m * r * (1 - r), dh * (before[t] - n) * z * (1 - z)
        d_gates[t] = np.concatenate([dr, dz, dn], axis=1)
        d_own[t] = np.concatenate([dr, dz, dn * r], axis=1)
        dh = dh * z + d_own[t] @ W_hh.T
    return d_gates, dh, np.tensordot(before, d_own, axes=((0, 1), (0, 1))), d_own.sum(axis=(0, 1))


def rnn(gates: np.ndarray, h0: np.ndarray, W_hh: np.ndarray, relu: bool) -> np.ndarray:
    """h = f(gates_t + h W_hh) for t = 0..T-1, f relu or tanh; gates (T, B, H), h0 (B, H), W_hh (H, H)."""
    out, h = np.empty_like(gates), h0
    for t in range(len(gates)):
        z = gates[t] + h @ W_hh
        out[t] = h = np.maximum(z, 0) if relu else np.tanh(z)
    return out


def rnn_gradient(
    d_out: np.ndarray, out: np.ndarray, h0: np.ndarray, W_hh: np.ndarray, relu: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of `rnn` back through time: d_gates (T, B, H), dh0 (B, H), dW_hh (H, H)."""
    d_gates, dh = np.empty_like(out), np.zeros_like(h0)
    for t in reversed(range(len(out))):
        d_gates[t] = (dh + d_out[t]) * (out[t] > 0 if relu else 1 - out[t] * out[t])
        dh = d_gates[t] @ W_hh.T
    return d_gates, dh, np.tensordot(_before(h0, out), d_gates, axes=((0, 1), (0, 1)))


def _before(h0: np.ndarray, out: np.ndarray) -> np.ndarray:
    """The state before each step."""
    return np.concatenate([h0[None], out[:-1]])[: len(out)]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.tanh(x / 2) / 2 + np.asarray(0.5, dtype=x.dtype)
