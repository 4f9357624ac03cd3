"""Recurrent networks; sequences are (time, batch, features)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy

from .. import init, ops
from ..autograd import Tensor
from ..errors import DTypeError, NeedleError, ShapeError
from ..types import INTEGERS, NUMBERS, plain_number
from .module import Module, Parameter, check_features
from .nn_basic import Dropout
from .nn_basic import Embedding as Embedding  # which the course imports from here

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNCell"]

NONLINEARITIES = {"tanh": ops.Tanh(), "relu": ops.ReLU()}


class _Cell(Module):
    """Weights of one recurrent layer, drawn from U(-1/sqrt(hidden_size), 1/sqrt(hidden_size)).

    Drawn in the order W_ih (input_size, gates hidden_size), W_hh (hidden_size, gates hidden_size), bias_ih, bias_hh.
    """

    gates: ClassVar[int]  # blocks of hidden_size columns in the weights

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = "float32"
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        if not isinstance(bias, int | numpy.bool_):
            raise DTypeError(f"[{type(self).__name__}] bias is True or False, got {type(bias).__name__}")
        if not isinstance(hidden_size, INTEGERS) or hidden_size < 1:
            raise ShapeError(f"[{type(self).__name__}] hidden_size must be 1 or more, got {hidden_size!r}")
        bound = 1 / math.sqrt(hidden_size)
        width = self.gates * hidden_size

        def draw(*shape: int) -> Parameter:
            return Parameter(init.rand(*shape, low=-bound, high=bound, device=device, dtype=dtype))

        self.W_ih = draw(input_size, width)
        self.W_hh = draw(hidden_size, width)
        self.bias_ih = draw(width) if bias else None
        self.bias_hh = draw(width) if bias else None

    def project(self, x: Tensor) -> Tensor:
        """x W_ih + bias_ih + bias_hh: what the input adds to every gate; x (..., input_size)."""
        check_features(type(self).__name__, x, self.input_size)
        if self.bias_ih is None or self.bias_hh is None:
            return ops.matmul(x, self.W_ih)
        return ops.affine(x, self.W_ih, self.bias_ih + self.bias_hh)

    def state(self, h: Tensor | None, batch: int) -> Tensor:
        """`h`, checked, or zeros of shape (batch, hidden_size) on the device of the weights."""
        if h is None:  # one row, repeated: a frozen graph keeps its batch symbolic
            zeros = init.zeros(1, self.hidden_size, device=self.W_hh.device, dtype=self.W_hh.dtype)
            return ops.broadcast_to(zeros, (batch, self.hidden_size))
        if tuple(h.shape) != (batch, self.hidden_size):
            needed = (batch, self.hidden_size)
            raise ShapeError(f"[{type(self).__name__}] the state must have shape {needed}, got {tuple(h.shape)}")
        return h


class RNNCell(_Cell):
    """h' = f(x W_ih + bias_ih + h W_hh + bias_hh), f tanh or relu; x (B, input_size), h and h' (B, hidden_size).

    Raises NeedleError for another nonlinearity, ShapeError for sizes that do not fit.
    """

    gates = 1

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh",
        device: Any = None, dtype: Any = "float32",
    ) -> None:  # fmt: skip
        if nonlinearity not in NONLINEARITIES:
            raise NeedleError(f"[RNNCell] nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, X: Tensor, h: Tensor | None = None) -> Tensor:
        return self.step(self.project(X), self.state(h, X.shape[0]))

    def step(self, projected: Tensor, h: Tensor) -> Tensor:
        """h' from the projected input of one time step."""
        return NONLINEARITIES[self.nonlinearity](projected + ops.matmul(h, self.W_hh))

    def over_time(self, projected: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """h of all steps (T, B, hidden_size) from their projected inputs, and the last h."""
        return _with_last(ops.rnn(projected, h, self.W_hh, self.nonlinearity))


class LSTMCell(_Cell):
    """i, f, g, o = x W_ih + bias_ih + h W_hh + bias_hh; c' = sig(f) c + sig(i) tanh(g); h' = sig(o) tanh(c').

    x (B, input_size), state (h, c) of (B, hidden_size) each, zeros when None; returns (h', c').
    Source: Hochreiter and Schmidhuber, "Long short-term memory", 1997.
    """

    gates = 4

    def forward(self, X: Tensor, h: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        check_features(type(self).__name__, X, self.input_size, ndim=2)
        batch = X.shape[0]
        before, cell = _pair(type(self).__name__, h)
        before, cell = self.state(before, batch), self.state(cell, batch)
        gates = self.project(X) + ops.matmul(before, self.W_hh)
        i, f, g, o = ops.split(ops.reshape(gates, (batch, 4, self.hidden_size)), 1)
        cell = ops.sigmoid(f) * cell + ops.sigmoid(i) * ops.tanh(g)
        return ops.sigmoid(o) * ops.tanh(cell), cell

    def over_time(self, projected: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """h of all steps (T, B, hidden_size) from their projected inputs, and the last h and c."""
        out, cell, *_ = ops.lstm(projected, h, c, self.W_hh)
        return *_with_last(out), cell


class GRUCell(_Cell):
    """r, z = sig(x W_rz + h U_rz + biases); n = tanh(x W_n + bias_ih + r (h U_n + bias_hh)); h' = (1 - z) n + z h.

    W_ih (input_size, 3 hidden_size) holds the W, W_hh the U, in the order r, z, n; x (B, input_size), state h
    (B, hidden_size), zeros when None; returns h'. Source: Cho et al., "Learning phrase representations using RNN
    encoder-decoder", 2014, with r applied after the product as in PyTorch.
    """

    gates = 3

    def forward(self, X: Tensor, h: Tensor | None = None) -> Tensor:
        gates = self.project(X)
        return self.over_time(ops.reshape(gates, (1, *gates.shape)), self.state(h, X.shape[0]))[1]

    def project(self, x: Tensor) -> Tensor:
        """x W_ih + bias_ih: the inputs' share of r, z and n."""
        check_features("GRUCell", x, self.input_size)
        return ops.matmul(x, self.W_ih) if self.bias_ih is None else ops.affine(x, self.W_ih, self.bias_ih)

    def over_time(self, projected: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """h of all steps (T, B, hidden_size) from their projected inputs, and the last h."""
        width, like = 3 * self.hidden_size, {"device": self.W_hh.device, "dtype": self.W_hh.dtype}
        bias = init.zeros(width, **like) if self.bias_hh is None else self.bias_hh
        return _with_last(ops.gru(projected, h, self.W_hh, bias)[0])


class _Layers(Module):
    """Cells of one kind, each fed with the outputs over time of the one before, which dropout may thin out."""

    def __init__(self, input_size: int, hidden_size: int, num_layers: int, dropout: float) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        if not isinstance(num_layers, INTEGERS) or num_layers < 1:
            raise ShapeError(f"[{type(self).__name__}] num_layers must be 1 or more, got {num_layers!r}")
        dropout = plain_number(dropout)
        thinned = not isinstance(dropout, NUMBERS) or dropout > 0
        self.dropout = Dropout(dropout) if thinned else None  # which would draw numbers to no effect
        self._sizes = [input_size] + [hidden_size] * (num_layers - 1)

    def _through(self, cells: Sequence[Any], X: Tensor, *states: Tensor | None) -> tuple[Tensor, ...]:
        """The last layer's h of every step, and every layer's last states, stacked: one tensor for each of `states`."""
        where = type(self).__name__
        check_features(where, X, self.input_size, ndim=3)
        steps, batch, _ = X.shape
        if steps == 0:
            raise ShapeError(f"[{where}] needs at least one time step, got shape {tuple(X.shape)}")
        layers = [_layers(where, state, self.num_layers) for state in states]
        ended = []
        for number, cell in enumerate(cells):
            if number and self.dropout is not None:
                X = self.dropout(X)
            X, *last = cell.over_time(cell.project(X), *(cell.state(layer[number], batch) for layer in layers))
            ended.append(last)
        return X, *(ops.stack(last, 0) for last in zip(*ended, strict=True))


class RNN(_Layers):
    """`num_layers` RNNCells over time, each layer fed with the outputs of the one before.

    X (T, B, input_size), h0 (num_layers, B, hidden_size) or None for zeros. `dropout` acts between the layers.
    Returns the last layer's h of every step (T, B, hidden_size) and every layer's last h (num_layers, B, hidden_size).
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, nonlinearity: str = "tanh",
        device: Any = None, dtype: Any = "float32", *, dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, num_layers, dropout)
        self.rnn_cells = [RNNCell(size, hidden_size, bias, nonlinearity, device, dtype) for size in self._sizes]

    def forward(self, X: Tensor, h0: Tensor | None = None) -> tuple[Tensor, Tensor]:
        out, last = self._through(self.rnn_cells, X, h0)
        return out, last


class GRU(_Layers):
    """`num_layers` GRUCells over time, each layer fed with the outputs of the one before.

    X (T, B, input_size), h0 (num_layers, B, hidden_size) or None for zeros. `dropout` acts between the layers.
    Returns the last layer's h of every step (T, B, hidden_size) and every layer's last h (num_layers, B, hidden_size).
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
        device: Any = None, dtype: Any = "float32", *, dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, num_layers, dropout)
        self.gru_cells = [GRUCell(size, hidden_size, bias, device, dtype) for size in self._sizes]

    def forward(self, X: Tensor, h0: Tensor | None = None) -> tuple[Tensor, Tensor]:
        out, last = self._through(self.gru_cells, X, h0)
        return out, last


class LSTM(_Layers):
    """`num_layers` LSTMCells over time, each layer fed with the outputs of the one before.

    X (T, B, input_size), state (h0, c0) of (num_layers, B, hidden_size) each, or None for zeros. `dropout` acts between
    the layers. Returns the last layer's h of every step (T, B, hidden_size) and (h_n, c_n), every layer's last,
    (num_layers, B, hidden_size) each.
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
        device: Any = None, dtype: Any = "float32", *, dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, num_layers, dropout)
        self.lstm_cells = [LSTMCell(size, hidden_size, bias, device, dtype) for size in self._sizes]

    def forward(self, X: Tensor, h: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        out, h_n, c_n = self._through(self.lstm_cells, X, *_pair("LSTM", h))
        return out, (h_n, c_n)


def _with_last(out: Tensor) -> tuple[Tensor, Tensor]:
    """The outputs of all steps, and those of the last one."""
    return out, out[-1]


def _pair(where: str, state: Any) -> tuple[Any, Any]:
    """The (h, c) of an LSTM's state; two times None for None."""
    if state is None:
        return None, None
    if not isinstance(state, tuple | list) or len(state) != 2:
        raise ShapeError(f"[{where}] the state must be a pair (h, c), got {type(state).__name__}")
    return state[0], state[1]


def _layers(where: str, state: Tensor | None, num_layers: int) -> list[Tensor | None]:
    """The state of each layer: the slices of `state` along axis 0, or None each."""
    if state is None:
        return [None] * num_layers
    if len(state.shape) != 3 or state.shape[0] != num_layers:
        needed = f"({num_layers}, batch, hidden_size)"
        raise ShapeError(f"[{where}] the state must have shape {needed}, got {tuple(state.shape)}")
    return list(ops.split(state, 0))
