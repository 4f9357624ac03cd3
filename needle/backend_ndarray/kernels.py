"""Which composite kernels work on an array: `kernels(x).conv(x, w, stride, padding)`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

# Every kernel by the module that holds it, in `cpu` and in `plain` alike.
KERNELS = {
    "activation": "gelu gelu_gradient leaky_relu leaky_relu_gradient silu silu_gradient softplus softplus_gradient",
    "compare": (
        "absolute clip clip_gradient equal greater greater_equal larger_share less less_equal logical_and "
        "logical_not logical_or minimum not_equal sign sqrt where"
    ),
    "gather": "gather gather_gradient take take_gradient",
    "group_norm": "group_norm group_norm_gradient rms_norm rms_norm_gradient",
    "grouped": "grouped_conv grouped_conv_input_gradient grouped_conv_weight_gradient",
    "linear": "conv conv_input_gradient conv_weight_gradient matmul",
    "loss": "squared_difference squared_difference_gradient",
    "norm": "batch_norm batch_norm_gradient batch_norm_inference layer_norm layer_norm_gradient",
    "optim": "adam_step momentum_step sgd_step squared_norm",
    "pointwise": (
        "add add_scalar divide divide_scalar erf exp log maximum multiply multiply_scalar negate power "
        "power_scalar relu relu_gradient sigmoid sigmoid_gradient sub tanh tanh_gradient"
    ),
    "pooling": "max_pool max_pool_gradient resample",
    "recurrent": "gru gru_gradient lstm lstm_gradient rnn rnn_gradient",
    "reduce": "extremum_gradient max mean min sum var",
    "sequence": "attention attention_gradient embedding embedding_gradient",
    "softmax": (
        "cross_entropy cross_entropy_gradient logsoftmax logsoftmax_gradient logsumexp softmax "
        "softmax_gradient"
    ),
}


def exported(package: str) -> dict[str, Callable[..., Any]]:
    """The kernels of a package by name, from its modules."""
    found = {}
    for module, names in KERNELS.items():
        functions = vars(import_module(f"{package}.{module}"))
        found.update({name: functions[name] for name in names.split()})
    return found


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
            given: dict[int, tuple[Any, np.ndarray]] = {}

            def there(a: Any) -> Any:
                if isinstance(a, list):
                    return [there(each) for each in a]
                return given.setdefault(id(a), (a, a.numpy()))[1] if hasattr(a, "_handle") else a

            result = function(*map(there, args), **{key: there(a) for key, a in options.items()})
            if name.endswith("_step"):  # these change some of their arguments in place
                for a, values in given.values():
                    a._write(values)
            return self._back(result)

        return call

    def _back(self, result: Any) -> Any:
        from .ndarray import NDArray

        if isinstance(result, tuple | list):
            return type(result)(self._back(each) for each in result)
        if isinstance(result, np.ndarray | np.generic):
            return NDArray(result if result.ndim else result.reshape(1), device=self.device)
        return result


def kernels(x: Any) -> Any:
    """The functions for an array like x: `plain` for numpy, `cpu` for NDArray on cpu(), else plain through numpy."""
    if isinstance(x, np.ndarray | np.generic):
        return _package("plain")
    return _package("cpu") if x._device.name == "cpu" else _Through(x._device)
