"""Recurrent networks over whole sequences: LSTM, GRU and the plain RNN, each one op for all steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..autograd import Tensor, TensorOp, TensorTuple, TensorTupleOp
from ..backend_ndarray.kernels import kernels
from ..errors import NeedleError, ShapeError
from ..types import Type
from . import array_compat
from .composite import gradient_of_pullback, like_outputs, saved, wanted
from .dtype_rules import one_float
from .ops_activation import relu, sigmoid, tanh
from .ops_broadcast import broadcast_to
from .ops_matmul import matmul
from .ops_reshape import reshape
from .ops_stack import split, stack

__all__ = ["GRU", "LSTM", "RNN", "GRUGradient", "LSTMGradient", "RNNGradient", "gru", "lstm", "rnn"]


@dataclass(frozen=True)
class LSTM(TensorTupleOp):
    """i, f, g, o = gates_t + h_{t-1} W; c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g); h_t = sigmoid(o) tanh(c_t)

    gates (T, B, 4H) hold the inputs' share and the biases; h0, c0 (B, H), W (H, 4H). A tuple of h (T, B, H) of all
    steps and c (B, H) of the last; then, counting as constants, c of all steps (T, B, H) and the activated gates.
    """

    def infer(self, gates: Type, h0: Type, c0: Type, W: Type) -> tuple[Type, ...]:
        steps, _, _ = _sizes("lstm", 4, gates, h0, W)
        one_float("lstm", h0, c0)
        if c0.shape != h0.shape:
            raise ShapeError(f"[lstm] needs c0 of the shape of h0 {h0.shape}, got {c0.shape}")
        cells = Type((steps, *h0.shape), gates.dtype)
        return cells, Type(h0.shape, gates.dtype), cells, gates

    def compute(self, gates: Any, h0: Any, c0: Any, W: Any) -> Any:
        out, cells, act = kernels(gates).lstm(gates, h0, c0, W)
        return out, array_compat.copied(array_compat.take(cells, 0, gates.shape[0] - 1)), cells, act

    def gradient(self, out_grad: TensorTuple, node: Any) -> Any:
        results = [saved(node, i) for i in (0, 2, 3)]
        return wanted(LSTMGradient()(out_grad[0], out_grad[1], *node.inputs, *results), node.inputs)


@dataclass(frozen=True)
class LSTMGradient(TensorTupleOp):
    """(dgates, dh0, dc0, dW): the adjoints of the inputs of `LSTM`, back through time"""

    def infer(
        self, g: Type, d_cell: Type, gates: Type, h0: Type, c0: Type, W: Type, out: Type, cells: Type, act: Type
    ) -> tuple[Type, ...]:
        y, last, *kept = LSTM().infer(gates, h0, c0, W)
        like_outputs("lstm_gradient", (y, last, y, *kept), g, d_cell, out, cells, act)
        return gates, h0, c0, W

    def compute(self, g: Any, d_cell: Any, gates: Any, h0: Any, c0: Any, W: Any, out: Any, cells: Any, act: Any) -> Any:
        return kernels(g).lstm_gradient(g, d_cell, out, cells, act, h0, c0, W)

    def gradient(self, out_grad: TensorTuple, node: Any) -> Any:
        return gradient_of_pullback(lstm_in_ops, out_grad, node, adjoints=2)


def lstm_in_ops(gates: Tensor, h: Tensor, c: Tensor, W: Tensor) -> tuple[Tensor, Tensor]:
    """The values of `LSTM`, made of simpler ops: h of all steps and c of the last."""
    hidden = []
    for step in split(gates, 0):
        parts = reshape(step + matmul(h, W), (*h.shape[:1], 4, *h.shape[1:]))
        i, f, g, o = split(parts, 1)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)
        hidden.append(h)
    return stack(hidden, 0), c


@dataclass(frozen=True)
class GRU(TensorTupleOp):
    """r, z = sigmoid(x_rz + h W_rz + b_rz); n = tanh(x_n + r (h W_n + b_n)); h_t = (1 - z) n + z h_{t-1}

    gates (T, B, 3H) hold the inputs' share x of r, z, n with its biases; h0 (B, H), W (H, 3H), bias (3H,). A tuple of
    h (T, B, H) of all steps and, counting as a constant, r, z, h W_n + b_n and n (T, B, 4H).
    Source: Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014, with r as PyTorch has it.
    """

    def infer(self, gates: Type, h0: Type, W: Type, bias: Type) -> tuple[Type, ...]:
        steps, batch, hidden = _sizes("gru", 3, gates, h0, W)
        one_float("gru", h0, bias)
        if bias.shape != (3 * hidden,):
            raise ShapeError(f"[gru] needs a bias of shape ({3 * hidden},), got {bias.shape}")
        return Type((steps, batch, hidden), gates.dtype), Type((steps, batch, 4 * hidden), gates.dtype)

    def compute(self, gates: Any, h0: Any, W: Any, bias: Any) -> Any:
        return kernels(gates).gru(gates, h0, W, bias)

    def gradient(self, out_grad: TensorTuple, node: Any) -> Any:
        results = [saved(node, i) for i in (0, 1)]
        return wanted(GRUGradient()(out_grad[0], *node.inputs, *results), node.inputs)


@dataclass(frozen=True)
class GRUGradient(TensorTupleOp):
    """(dgates, dh0, dW, dbias): the adjoints of the inputs of `GRU`, back through time"""

    def infer(
        self, g: Type, gates: Type, h0: Type, W: Type, bias: Type, out: Type, act: Type
    ) -> tuple[Type, ...]:
        y, kept = GRU().infer(gates, h0, W, bias)
        like_outputs("gru_gradient", (y, y, kept), g, out, act)
        return gates, h0, W, bias

    def compute(self, g: Any, gates: Any, h0: Any, W: Any, bias: Any, out: Any, act: Any) -> Any:
        return kernels(g).gru_gradient(g, out, act, h0, W)

    def gradient(self, out_grad: TensorTuple, node: Any) -> Any:
        return gradient_of_pullback(gru_in_ops, out_grad, node)


def gru_in_ops(gates: Tensor, h: Tensor, W: Tensor, bias: Tensor) -> Tensor:
    """The value of `GRU`, made of simpler ops: h of all steps."""
    hidden, parts = [], (*h.shape[:1], 3, *h.shape[1:])
    for step in split(gates, 0):
        own = matmul(h, W)
        x_r, x_z, x_n = split(reshape(step, parts), 1)
        h_r, h_z, h_n = split(reshape(own + broadcast_to(bias, own.shape), parts), 1)
        r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
        n = tanh(x_n + r * h_n)
        h = n + z * (h - n)
        hidden.append(h)
    return stack(hidden, 0)


@dataclass(frozen=True)
class RNN(TensorOp):
    """h_t = f(gates_t + h_{t-1} W), f tanh or relu

    gates (T, B, H) hold the inputs' share and the biases; h0 (B, H), W (H, H). y is h (T, B, H) of all steps.
    """

    nonlinearity: str = "tanh"

    def infer(self, gates: Type, h0: Type, W: Type) -> Type:
        if self.nonlinearity not in NONLINEARITIES:
            raise NeedleError(f"[rnn] nonlinearity must be 'tanh' or 'relu', got {self.nonlinearity!r}")
        _sizes("rnn", 1, gates, h0, W)
        return gates

    def compute(self, gates: Any, h0: Any, W: Any) -> Any:
        return kernels(gates).rnn(gates, h0, W, self.nonlinearity == "relu")

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        out = node if node.cached_data is None else node.detach()
        return wanted(RNNGradient(self.nonlinearity)(out_grad, *node.inputs, out), node.inputs)


@dataclass(frozen=True)
class RNNGradient(TensorTupleOp):
    """(dgates, dh0, dW): the adjoints of the inputs of `RNN`, back through time"""

    nonlinearity: str = "tanh"

    def infer(self, g: Type, gates: Type, h0: Type, W: Type, out: Type) -> tuple[Type, ...]:
        y = RNN(self.nonlinearity).infer(gates, h0, W)
        like_outputs("rnn_gradient", (y, y), g, out)
        return gates, h0, W

    def compute(self, g: Any, gates: Any, h0: Any, W: Any, out: Any) -> Any:
        return kernels(g).rnn_gradient(g, out, h0, W, self.nonlinearity == "relu")

    def gradient(self, out_grad: TensorTuple, node: Any) -> Any:
        return gradient_of_pullback(lambda x, h, W: rnn_in_ops(x, h, W, self.nonlinearity), out_grad, node)


def rnn_in_ops(gates: Tensor, h: Tensor, W: Tensor, nonlinearity: str) -> Tensor:
    """The value of `RNN`, made of simpler ops."""
    hidden = []
    for step in split(gates, 0):
        h = NONLINEARITIES[nonlinearity](step + matmul(h, W))
        hidden.append(h)
    return stack(hidden, 0)


NONLINEARITIES = {"tanh": tanh, "relu": relu}


def _sizes(where: str, parts: int, gates: Type, h0: Type, W: Type) -> tuple[int, int, int]:
    """T, B and H, checked: gates (T, B, parts H) with T > 0, h0 (B, H), W (H, parts H)."""
    known = len(gates.shape) == 3 and len(W.shape) == 2
    steps, batch, hidden = (*gates.shape[:2], W.shape[0]) if known else (0, 0, 0)
    wide = parts * hidden
    if not steps or gates.shape[2] != wide or h0.shape != (batch, hidden) or W.shape != (hidden, wide):
        given = f"{gates.shape}, {h0.shape}, {W.shape}"
        form = f"{parts}H" if parts > 1 else "H"
        raise ShapeError(f"[{where}] needs gates (T, B, {form}) with T > 0, h0 (B, H), W (H, {form}), got {given}")
    one_float(where, gates, h0, W)
    return steps, batch, hidden


def lstm(gates: Tensor, h0: Tensor, c0: Tensor, W_hh: Tensor) -> TensorTuple:
    """(h of all steps, c of the last step, c of all steps, activated gates) of an LSTM; see `LSTM`."""
    return LSTM()(gates, h0, c0, W_hh)


def gru(gates: Tensor, h0: Tensor, W_hh: Tensor, bias_hh: Tensor) -> TensorTuple:
    """(h of all steps, what the gradient needs) of a GRU; see `GRU`."""
    return GRU()(gates, h0, W_hh, bias_hh)


def rnn(gates: Tensor, h0: Tensor, W_hh: Tensor, nonlinearity: str = "tanh") -> Tensor:
    """h of all steps of a plain recurrent network; see `RNN`."""
    return RNN(nonlinearity)(gates, h0, W_hh)
