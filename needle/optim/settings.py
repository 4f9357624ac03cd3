"""What comes from a caller, checked."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy

from ..autograd import Tensor
from ..errors import NeedleError, SettingError
from ..types import NUMBERS, plain_number


def parameters(where: str, params: Any) -> list[Tensor]:
    """`params` as a list of Tensors. Raises NeedleError for anything else."""
    if not isinstance(params, Iterable) or isinstance(params, Tensor):
        found = type(params).__name__
        raise NeedleError(f"[{where}] needs a list of parameters, got a {found}: is it module.parameters() you want?")
    tensors: list[Tensor] = list(params)
    for i, param in enumerate(tensors):
        if not isinstance(param, Tensor):
            raise NeedleError(f"[{where}] needs Tensors as parameters, got a {type(param).__name__} at index {i}")
    return tensors


def positive(where: str, **settings: float) -> list[float]:
    """The values of the settings. Raises SettingError unless all are finite and none is negative."""
    values = [number(where, name, value) for name, value in settings.items()]
    for name, value in zip(settings, values, strict=True):
        if not 0 <= value < math.inf:
            raise SettingError(f"[{where}] {name} must be a number from 0 on, got {value}")
    return values


def fraction(where: str, **settings: float) -> list[float]:
    """The values of the settings. Raises SettingError unless all lie in [0, 1)."""
    values = [number(where, name, value) for name, value in settings.items()]
    for name, value in zip(settings, values, strict=True):
        if not 0 <= value < 1:
            raise SettingError(f"[{where}] {name} must lie in [0, 1), got {value}")
    return values


def whole(where: str, *, least: int = 1, **settings: int) -> None:
    """Raises SettingError unless every setting is a whole number (of any kind of integer) from `least` on."""
    for name, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, int | numpy.integer) or value < least:
            raise SettingError(f"[{where}] {name} must be a whole number from {least} on, got {value}")


def number(where: str, name: str, value: Any) -> float:
    """The value of a setting; an array or Tensor of one element counts. Raises SettingError for what is no number."""
    found = plain_number(value)
    if not isinstance(found, NUMBERS):
        raise SettingError(f"[{where}] {name} must be a number, got {type(value).__name__}")
    return found  # type: ignore[return-value]
