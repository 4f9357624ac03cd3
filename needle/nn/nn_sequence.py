"""Recurrent networks and embeddings; sequences are (time, batch, features)."""

from __future__ import annotations

import math
from typing import Any

from .. import init, ops
from ..autograd import Tensor
from ..errors import NeedleError, ShapeError
from .nn_basic import Module, Parameter, check_features

__all__ = ["LSTM", "RNN", "Embedding", "LSTMCell", "RNNCell"]

NONLINEARITIES = {"tanh": ops.tanh, "relu": ops.relu}


class _Cell(Module):
    """Weights of one recurrent layer, drawn from U(-1/sqrt(hidden_size), 1/sqrt(hidden_size)).

    Drawn in the order W_ih (input_size, gates hidden_size), W_hh (hidden_size, gates hidden_size), bias_ih, bias_hh.
    """

    def __init__(self, input_size: int, hidden_size: int, gates: int, bias: bool, device: Any, dtype: Any) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        bound = 1 / math.sqrt(hidden_size)
        width = gates * hidden_size

        def draw(*shape: int) -> Parameter:
            return Parameter(init.rand(*shape, low=-bound, high=bound, device=device, dtype=dtype))

        self.W_ih = draw(input_size, width)
        self.W_hh = draw(hidden_size, width)
        self.bias_ih = draw(width) if bias else None
        self.bias_hh = draw(width) if bias else None

    def project(self, x: Tensor) -> Tensor:
        """x W_ih + bias_ih + bias_hh: what the input adds to every gate; x (..., input_size)."""
        check_features(type(self).__name__, x, self.input_size)
        y = ops.matmul(x, self.W_ih)
        if self.bias_ih is None or self.bias_hh is None:
            return y
        return y + ops.broadcast_to(self.bias_ih + self.bias_hh, y.shape)

    def state(self, h: Tensor | None, batch: int) -> Tensor:
        """`h`, checked, or zeros of shape (batch, hidden_size) on the device of the weights."""
        if h is None:
            return init.zeros(batch, self.hidden_size, device=self.W_hh.device, dtype=self.W_hh.dtype)
        if tuple(h.shape) != (batch, self.hidden_size):
            needed = (batch, self.hidden_size)
            raise ShapeError(f"[{type(self).__name__}] the state must have shape {needed}, got {tuple(h.shape)}")
        return h


class RNNCell(_Cell):
    """h' = f(x W_ih + bias_ih + h W_hh + bias_hh), f tanh or relu; x (B, input_size), h and h' (B, hidden_size).

    Raises NeedleError for another nonlinearity, ShapeError for sizes that do not fit.
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh",
        device: Any = None, dtype: Any = "float32",
    ) -> None:  # fmt: skip
        if nonlinearity not in NONLINEARITIES:
            raise NeedleError(f"[RNNCell] nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
        super().__init__(input_size, hidden_size, 1, bias, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, X: Tensor, h: Tensor | None = None) -> Tensor:
        return self.step(self.project(X), self.state(h, X.shape[0]))

    def step(self, projected: Tensor, h: Tensor) -> Tensor:
        """h' from the projected input of one time step."""
        return NONLINEARITIES[self.nonlinearity](projected + ops.matmul(h, self.W_hh))


class LSTMCell(_Cell):
    """i, f, g, o = x W_ih + bias_ih + h W_hh + bias_hh; c' = sig(f) c + sig(i) tanh(g); h' = sig(o) tanh(c').

    x (B, input_size), state (h, c) of (B, hidden_size) each, zeros when None; returns (h', c').
    Source: Hochreiter and Schmidhuber, "Long short-term memory", 1997.
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = "float32"
    ) -> None:
        super().__init__(input_size, hidden_size, 4, bias, device, dtype)

    def forward(self, X: Tensor, h: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        batch = X.shape[0]
        before, cell = h if h is not None else (None, None)
        before, cell = self.state(before, batch), self.state(cell, batch)
        gates = self.project(X) + ops.matmul(before, self.W_hh)
        i, f, g, o = ops.split(ops.reshape(gates, (batch, 4, self.hidden_size)), 1)
        cell = ops.sigmoid(f) * cell + ops.sigmoid(i) * ops.tanh(g)
        return ops.sigmoid(o) * ops.tanh(cell), cell


class RNN(Module):
    """`num_layers` RNNCells over time, each layer fed with the outputs of the one before.

    X (T, B, input_size), h0 (num_layers, B, hidden_size) or None for zeros.
    Returns the last layer's h of every step (T, B, hidden_size) and every layer's last h (num_layers, B, hidden_size).
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, nonlinearity: str = "tanh",
        device: Any = None, dtype: Any = "float32",
    ) -> None:  # fmt: skip
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        sizes = [input_size] + [hidden_size] * (num_layers - 1)
        self.rnn_cells = [RNNCell(size, hidden_size, bias, nonlinearity, device, dtype) for size in sizes]

    def forward(self, X: Tensor, h0: Tensor | None = None) -> tuple[Tensor, Tensor]:
        _, batch, _ = _sequence("RNN", X, self.input_size)
        last = []
        for cell, h in zip(self.rnn_cells, _layers("RNN", h0, self.num_layers), strict=True):
            h = cell.state(h, batch)
            outputs = []
            for projected in ops.split(cell.project(X), 0):
                h = cell.step(projected, h)
                outputs.append(h)
            X = ops.stack(outputs, 0)
            last.append(h)
        return X, ops.stack(last, 0)


class LSTM(Module):
    """`num_layers` LSTMCells over time, each layer fed with the outputs of the one before.

    X (T, B, input_size), state (h0, c0) of (num_layers, B, hidden_size) each, or None for zeros. Returns the last
    layer's h of every step (T, B, hidden_size) and (h_n, c_n), every layer's last, (num_layers, B, hidden_size) each.
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
        device: Any = None, dtype: Any = "float32",
    ) -> None:  # fmt: skip
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        sizes = [input_size] + [hidden_size] * (num_layers - 1)
        self.lstm_cells = [LSTMCell(size, hidden_size, bias, device, dtype) for size in sizes]

    def forward(self, X: Tensor, h: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        steps, batch, _ = _sequence("LSTM", X, self.input_size)
        h0, c0 = h if h is not None else (None, None)
        befores, cells = (_layers("LSTM", state, self.num_layers) for state in (h0, c0))
        last_h, last_c = [], []
        for cell, before, c in zip(self.lstm_cells, befores, cells, strict=True):
            states = ops.lstm(cell.project(X), cell.state(before, batch), cell.state(c, batch), cell.W_hh)
            X = states[0]
            last_h.append(ops.split(X, 0)[steps - 1])
            last_c.append(states[1])
        return X, (ops.stack(last_h, 0), ops.stack(last_c, 0))


class Embedding(Module):
    """y[..., :] = weight[ids[...]]: one learned row for each id; ids (T, B) whole numbers, y (T, B, embedding_dim).

    weight (num_embeddings, embedding_dim) is drawn from N(0, 1). Raises an error for an id outside 0..num_embeddings-1.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, device: Any = None, dtype: Any = "float32") -> None:
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.weight = Parameter(init.randn(num_embeddings, embedding_dim, device=device, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        return ops.embed(x, self.weight)


def _sequence(where: str, X: Tensor, features: int) -> tuple[int, int, int]:
    """The three sizes of a (T, B, features) tensor with at least one time step."""
    check_features(where, X, features, ndim=3)
    if X.shape[0] == 0:
        raise ShapeError(f"[{where}] needs at least one time step, got shape {tuple(X.shape)}")
    steps, batch, width = X.shape
    return steps, batch, width


def _layers(where: str, state: Tensor | None, num_layers: int) -> list[Tensor | None]:
    """The state of each layer: the slices of `state` along axis 0, or None each."""
    if state is None:
        return [None] * num_layers
    if len(state.shape) != 3 or state.shape[0] != num_layers:
        needed = f"({num_layers}, batch, hidden_size)"
        raise ShapeError(f"[{where}] the state must have shape {needed}, got {tuple(state.shape)}")
    return list(ops.split(state, 0))
