"""Activation functions as modules."""

from __future__ import annotations

from .. import ops
from ..autograd import Tensor
from ..types import plain_number
from .nn_basic import Module

__all__ = ["GELU", "LeakyReLU", "SiLU", "Softplus", "Tanh"]


class GELU(Module):
    """y = x P(x), P the normal distribution function; `approximate` takes tanh in its place, as GPT-2 did."""

    def __init__(self, approximate: bool = False) -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        return ops.gelu(x, self.approximate)


class SiLU(Module):
    """y = x / (1 + exp(-x))."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.silu(x)


class LeakyReLU(Module):
    """y = x where x > 0, else slope x."""

    def __init__(self, slope: float = 0.01) -> None:
        super().__init__()
        self.slope = plain_number(slope)

    def forward(self, x: Tensor) -> Tensor:
        return ops.leaky_relu(x, self.slope)


class Softplus(Module):
    """y = log(1 + exp(x))."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.softplus(x)


class Tanh(Module):
    """y = tanh x."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.tanh(x)
