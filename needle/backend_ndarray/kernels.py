"""Which kernels work on an array: `kernels(x).conv(x, w, stride, padding)`, `pointwise("exp", numpy.exp, x)`.

By device and dtype: on cpu() and cuda() float32 has all of the extension's, whole numbers and bool have those of
elements.py. What is not there, and all of float64 and of cpu_numpy(), is computed by a twin in numpy; but on cuda(),
whose memory numpy does not see, it is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from typing import Any

import numpy as np

from needle.errors import DeviceError

from . import ndarray_backend_cpu

NUMPY = (np.ndarray, np.generic)
EXACT = 2**24  # up to which float32, in which compiled kernels read ids, holds every whole number

# Every kernel, by the module of `plain` that holds it.
KERNELS = {
    "attention": "attention attention_gradient",
    "cache": "cache_write cached_attention",
    "gather": "embedding embedding_gradient gather gather_gradient take take_gradient",
    "grouped": "grouped_conv grouped_conv_input_gradient grouped_conv_weight_gradient",
    "linear": "affine conv conv_input_gradient conv_weight_gradient matmul",
    "norm": (
        "batch_norm batch_norm_gradient batch_norm_inference group_norm group_norm_gradient "
        "layer_norm layer_norm_gradient rms_norm rms_norm_gradient"
    ),
    "optim": "adam_step momentum_step sgd_step squared_norm",
    "pooling": "max_pool max_pool_gradient resample",
    "recurrent": "gru gru_gradient lstm lstm_gradient rnn rnn_gradient",
    "reduce": "extremum_gradient max mean min sum var",
    "softmax": (
        "cross_entropy cross_entropy_gradient logsoftmax logsoftmax_gradient logsumexp softmax "
        "softmax_gradient"
    ),
}
NAMES = " ".join(KERNELS.values()).split()


# By the class of a block of memory the extension whose kernels work on it; cuda()'s joins when it is first asked for.
EXTENSIONS: dict[type, Any] = {ndarray_backend_cpu.Array: ndarray_backend_cpu}


def extension_of(x: Any) -> Any:
    """The extension that holds an NDArray's memory, None where numpy does."""
    return EXTENSIONS.get(x._handle.__class__)


@cache
def _package(name: str) -> Any:
    return import_module("." + name, __package__)


def through_numpy(function: Callable[..., Any], device: Any, *args: Any, **options: Any) -> Any:
    """A function of numpy arrays, of NDArrays that are not compiled ones: it reads their memory, and results come back.

    DeviceError for a device whose memory is not the processor's. Results keep the dtype that numpy gives them, but
    float64 needs an operand of float64, else they are float32; of those that no NDArray has, int16 (where int8 and
    uint8 meet) becomes int32, and uint64 (a sum of uint8) int64.
    """
    dtypes = set()

    def as_numpy(a: Any) -> Any:
        if isinstance(a, list):
            return [as_numpy(each) for each in a]
        if not hasattr(a, "_handle"):
            return a
        dtypes.add(a.dtype)
        return a.shared()

    if not device.shares_memory:
        op = getattr(function, "__self__", None)  # of a method of an op, the op
        name = getattr(function, "__name__", "array") if op is None else type(op).__name__
        fix = "x.to(ndl.cpu()) brings arrays to a device that has"
        raise DeviceError(f"[{name.strip('_<>')}] has no kernel on {device} for these types yet; {fix}")
    args, options = tuple(map(as_numpy, args)), {key: as_numpy(a) for key, a in options.items()}
    with np.errstate(all="ignore"):
        return _back(function(*args, **options), device, "float64" in dtypes)


def _back(result: Any, device: Any, double: bool) -> Any:
    from .ndarray import NDArray

    if isinstance(result, tuple | list):
        return type(result)(_back(each, device, double) for each in result)
    if isinstance(result, np.ndarray | np.generic):
        values = np.asarray(result)
        kept = {"int16": "int32", "uint64": "int64", "float64": "float64" if double else "float32"}
        values = values.astype(kept.get(values.dtype.name, values.dtype), copy=False)
        return NDArray.sharing(values if values.base is None else values.copy(), device)
    return result


def of_elements() -> Any:
    """The module of whole numbers and bool, which most programs do without."""
    return _package("elements")


class Twins:
    """The plain kernels for NDArrays of one device that have no compiled ones."""

    def __init__(self, device: Any) -> None:
        self.device = device

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return partial(through_numpy, getattr(_package("plain"), name), self.device)


def kernels(x: Any) -> Any:
    """The functions for an array like x: `plain` for numpy, `compiled` for an extension's, else the twins in numpy."""
    if isinstance(x, NUMPY):
        return _package("plain")
    extension = EXTENSIONS.get(x._handle.__class__)
    return twins(x) if extension is None else _package("compiled").of(extension)


def twins(x: Any) -> Any:
    """The plain functions for an NDArray like x, whatever its dtype."""
    return Twins(x._device)


def pointwise(kernel: str, plain: Callable[..., Any], first: Any, *more: Any) -> Any:
    """A function of arrays of one shape and dtype, then numbers: `kernel` where device and dtype have it, else `plain`.

    The latter takes numpy arrays. Results of the kernels of float32 lie in memory as the first operand without gaps:
    NHWC memory seen as NCHW stays so, and nothing is copied.
    """
    if isinstance(first, NUMPY):
        return plain(first, *more)
    extension = EXTENSIONS.get(first._handle.__class__)
    if extension is not None:
        return getattr(extension, kernel)(first, *more)
    whole = of_elements().mapped(kernel, first, *more)
    return through_numpy(plain, first._device, first, *more) if whole is None else whole
