"""Which composite kernels work on an array: `kernels(x).conv(x, w, stride, padding)`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np


@cache
def _package(name: str) -> Any:
    return import_module("." + name, __package__)


class _Through:
    """The plain kernels for arrays of another device: arguments go to numpy, results come back."""

    def __init__(self, device: Any) -> None:
        self.device = device

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = getattr(_package("plain"), name)  # AttributeError when there is no such kernel

        def call(*args: Any, **options: Any) -> Any:
            given = {id(a): a for a in (*args, *options.values()) if hasattr(a, "_handle")}
            values = {key: a.numpy() for key, a in given.items()}
            to_numpy = [values.get(id(a), a) for a in args]
            result = function(*to_numpy, **{key: values.get(id(a), a) for key, a in options.items()})
            if name.endswith("_step"):  # these change their arguments in place
                for key, a in given.items():
                    a._write(values[key])
            return self._back(result)

        return call

    def _back(self, result: Any) -> Any:
        from .ndarray import NDArray

        if isinstance(result, tuple):
            return tuple(self._back(each) for each in result)
        if isinstance(result, np.ndarray | np.generic):
            return NDArray(result if result.ndim else result.reshape(1), device=self.device)
        return result


def kernels(x: Any) -> Any:
    """The functions for an array like x: `plain` for numpy, `cpu` for NDArray on cpu(), else plain through numpy."""
    if isinstance(x, np.ndarray | np.generic):
        return _package("plain")
    return _package("cpu") if x._device.name == "cpu" else _Through(x._device)
