"""Random weights whose variance keeps the variance of activations (Kaiming) or of both directions (Xavier)."""

from __future__ import annotations

import math
from typing import Any

from ..autograd import Tensor
from ..errors import NeedleError
from .basic import rand, randn


def xavier_uniform(fan_in: int, fan_out: int, gain: float = 1.0, **kwargs: Any) -> Tensor:
    """W ~ U(-a, a), a = gain sqrt(6 / (fan_in + fan_out)); shape (fan_in, fan_out).

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010.
    """
    bound = gain * math.sqrt(6 / (fan_in + fan_out))
    return rand(fan_in, fan_out, low=-bound, high=bound, **kwargs)


def xavier_normal(fan_in: int, fan_out: int, gain: float = 1.0, **kwargs: Any) -> Tensor:
    """W ~ N(0, std^2), std = gain sqrt(2 / (fan_in + fan_out)); shape (fan_in, fan_out). Source: as xavier_uniform."""
    return randn(fan_in, fan_out, std=gain * math.sqrt(2 / (fan_in + fan_out)), **kwargs)


def kaiming_uniform(
    fan_in: int, fan_out: int, shape: tuple[int, ...] | None = None, nonlinearity: str = "relu", **kwargs: Any
) -> Tensor:
    """W ~ U(-b, b), b = sqrt(2) sqrt(3 / fan_in); shape (fan_in, fan_out) unless `shape` says otherwise.

    Source: He et al., "Delving deep into rectifiers", 2015. Raises NeedleError for a nonlinearity other than "relu".
    """
    bound = _relu_gain("kaiming_uniform", nonlinearity) * math.sqrt(3 / fan_in)
    return rand(*(shape or (fan_in, fan_out)), low=-bound, high=bound, **kwargs)


def kaiming_normal(
    fan_in: int, fan_out: int, shape: tuple[int, ...] | None = None, nonlinearity: str = "relu", **kwargs: Any
) -> Tensor:
    """W ~ N(0, std^2), std = sqrt(2 / fan_in); shape (fan_in, fan_out) unless `shape` says otherwise.

    Source and errors: as kaiming_uniform.
    """
    std = _relu_gain("kaiming_normal", nonlinearity) / math.sqrt(fan_in)
    return randn(*(shape or (fan_in, fan_out)), std=std, **kwargs)


def _relu_gain(where: str, nonlinearity: str) -> float:
    if nonlinearity != "relu":
        raise NeedleError(f"[{where}] nonlinearity must be 'relu', got {nonlinearity!r}")
    return math.sqrt(2)
