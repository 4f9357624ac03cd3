"""Initial weights: random ones that keep the size of activations and gradients, and ones that keep the signal itself.

Convolution weights have the shape (k, k, in, out). Draws are documented: they are part of the interface.
"""

from __future__ import annotations

import math
from typing import Any

import numpy

from ..autograd import Tensor
from ..errors import NeedleError, SettingError, ShapeError
from ..types import NUMBERS, number_of
from .basic import rand, randn


def xavier_uniform(fan_in: int, fan_out: int, gain: float = 1.0, **kwargs: Any) -> Tensor:
    """W ~ U(-a, a), a = gain sqrt(6 / (fan_in + fan_out)); shape (fan_in, fan_out).

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010.
    Raises SettingError unless the fans are positive.
    """
    gain = number_of("xavier_uniform", gain, "float64")
    bound = gain * math.sqrt(6 / _positive("xavier_uniform", fan_in + fan_out))
    return rand(fan_in, fan_out, low=-bound, high=bound, **kwargs)


def xavier_normal(fan_in: int, fan_out: int, gain: float = 1.0, **kwargs: Any) -> Tensor:
    """W ~ N(0, std^2), std = gain sqrt(2 / (fan_in + fan_out)); shape (fan_in, fan_out).

    Source and errors: as xavier_uniform.
    """
    gain = number_of("xavier_normal", gain, "float64")
    return randn(fan_in, fan_out, std=gain * math.sqrt(2 / _positive("xavier_normal", fan_in + fan_out)), **kwargs)


def kaiming_uniform(
    fan_in: int, fan_out: int, shape: tuple[int, ...] | None = None, nonlinearity: str = "relu", **kwargs: Any
) -> Tensor:
    """W ~ U(-b, b), b = sqrt(2) sqrt(3 / fan_in); shape (fan_in, fan_out) unless `shape` says otherwise.

    Source: He et al., "Delving deep into rectifiers", 2015. Raises NeedleError for a nonlinearity other than "relu",
    SettingError unless fan_in is positive.
    """
    bound = _relu_gain("kaiming_uniform", nonlinearity) * math.sqrt(3 / _positive("kaiming_uniform", fan_in))
    return rand(*(shape or (fan_in, fan_out)), low=-bound, high=bound, **kwargs)


def kaiming_normal(
    fan_in: int, fan_out: int, shape: tuple[int, ...] | None = None, nonlinearity: str = "relu", **kwargs: Any
) -> Tensor:
    """W ~ N(0, std^2), std = sqrt(2 / fan_in); shape (fan_in, fan_out) unless `shape` says otherwise.

    Source and errors: as kaiming_uniform.
    """
    std = _relu_gain("kaiming_normal", nonlinearity) / math.sqrt(_positive("kaiming_normal", fan_in))
    return randn(*(shape or (fan_in, fan_out)), std=std, **kwargs)


def variance_scaling(
    *shape: int, scale: float = 1.0, mode: str = "fan_in", distribution: str = "normal", **kwargs: Any
) -> Tensor:
    """W ~ N(0, s) or U(-sqrt(3 s), sqrt(3 s)), s = scale / fan; of any shape (..., in, out).

    fan_in = in times the sizes before it, fan_out = out times these, "fan_avg" their mean. scale 1 with "fan_in" is
    LeCun's, 2 He's, 1 with "fan_avg" Glorot's. Draws one number for each element, in order. Raises ShapeError for fewer
    than two axes, SettingError for another mode or distribution, a negative scale, or a fan of 0.
    """
    if len(shape) < 2:
        raise ShapeError(f"[variance_scaling] needs at least the axes (in, out), got {shape}")
    scale = number_of("variance_scaling", scale, "float64")
    field = math.prod(shape[:-2])
    fans = {"fan_in": shape[-2] * field, "fan_out": shape[-1] * field, "fan_avg": (shape[-2] + shape[-1]) * field / 2}
    if mode not in fans or distribution not in ("normal", "uniform") or scale < 0:
        known = "mode fan_in, fan_out or fan_avg, distribution normal or uniform, scale from 0 on"
        raise SettingError(f"[variance_scaling] needs {known}, got {mode!r}, {distribution!r}, {scale}")
    std = math.sqrt(scale / _positive("variance_scaling", fans[mode]))
    if distribution == "normal":
        return randn(*shape, std=std, **kwargs)
    return rand(*shape, low=-math.sqrt(3) * std, high=math.sqrt(3) * std, **kwargs)


def truncated_normal(*shape: int, mean: float = 0.0, std: float = 1.0, cut: float = 2.0, **kwargs: Any) -> Tensor:
    """x ~ N(mean, std^2) given |x - mean| <= cut std, elementwise independent, of any shape.

    Draws one normal number for each element, in order, and then again for those that lie outside, until none does.
    Raises SettingError unless cut >= 0.1: smaller ones would need too many draws; DTypeError for what is no number.
    """
    centre, spread, cut = (number_of("truncated_normal", value, "float64") for value in (mean, std, cut))
    if not cut >= 0.1:
        raise SettingError(f"[truncated_normal] cut must be at least 0.1, got {cut}")
    draws = numpy.asarray(numpy.random.standard_normal(_sizes("truncated_normal", shape)))
    while (outside := abs(draws) > cut).any():
        draws[outside] = numpy.random.standard_normal(int(outside.sum()))
    return _tensor(draws * spread + centre, kwargs)


def orthogonal(*shape: int, gain: float = 1.0, **kwargs: Any) -> Tensor:
    """W = gain Q, with Q^T Q = I or, where it is wider than high, Q Q^T = I; uniform over all such Q.

    The matrix is (product of all axes but the last, last axis), of shape (in, out) or (k, k, in, out). Draws one normal
    number for each element, in order, and takes Q of the QR decomposition whose R has a positive diagonal.
    Source: Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks", 2014. Raises ShapeError for fewer than two axes, DTypeError for a gain that is no number.
    """
    if len(shape) < 2:
        raise ShapeError(f"[orthogonal] needs at least two axes, got {shape}")
    factor = number_of("orthogonal", gain, "float64")
    rows, columns = math.prod(_sizes("orthogonal", shape)[:-1]), shape[-1]
    draws = numpy.random.standard_normal((rows, columns))
    q, r = numpy.linalg.qr(draws if rows >= columns else draws.T)
    q = q * numpy.where(numpy.diagonal(r) < 0, -1.0, 1.0)
    return _tensor(factor * (q if rows >= columns else q.T).reshape(shape), kwargs)


def dirac(*shape: int, groups: int = 1, **kwargs: Any) -> Tensor:
    """w[k // 2, k // 2, c, c] = 1, else 0: a convolution that hands its first channels on; shape (k, k, in, out).

    With `groups` the same in each of them, for the shape (k, k, in / groups, out). Draws nothing. Raises ShapeError for
    any other number of axes, or an out that groups do not divide.
    """
    if len(shape) != 4 or groups < 1 or shape[3] % groups:
        raise ShapeError(f"[dirac] needs (k, k, in, out), out divisible by groups, got {shape} and {groups}")
    weight = numpy.zeros(_sizes("dirac", shape))
    out = shape[3] // groups
    if shape[0] and shape[1]:
        for group in range(groups):
            for c in range(min(shape[2], out)):
                weight[shape[0] // 2, shape[1] // 2, c, group * out + c] = 1
    return _tensor(weight, kwargs)


def _sizes(where: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    if any(size < 0 for size in shape):
        raise ShapeError(f"[{where}] sizes must not be negative, got {shape}")
    return shape


def _tensor(array: numpy.ndarray, options: dict[str, Any]) -> Tensor:
    """A Tensor with the options that `rand` takes too, and its defaults."""
    return Tensor(array, **{"dtype": "float32", "requires_grad": False, **options})


def _positive(where: str, fan: float) -> float:
    if not isinstance(fan, NUMBERS) or not fan > 0:
        raise SettingError(f"[{where}] needs at least one input or output, got a fan of {fan}")
    return fan


def _relu_gain(where: str, nonlinearity: str) -> float:
    if nonlinearity != "relu":
        raise NeedleError(f"[{where}] nonlinearity must be 'relu', got {nonlinearity!r}")
    return math.sqrt(2)
