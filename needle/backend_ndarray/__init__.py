"""The array backend: NDArray, its devices, and the kernels that work on it."""

from importlib import import_module

for _kernels in (".plain", ".compiled"):
    import_module(_kernels, __name__)

from . import ndarray  # noqa: E402
from .kernels import kernels  # noqa: E402
from .ndarray import (  # noqa: E402
    BackendDevice,
    NDArray,
    all_devices,
    array,
    broadcast_to,
    cpu,
    cpu_numpy,
    cuda,
    default_device,
    empty,
    exp,
    flip,
    full,
    log,
    max,
    maximum,
    reshape,
    sum,
    tanh,
)

__all__ = [
    "BackendDevice", "NDArray", "all_devices", "array", "broadcast_to", "cpu", "cpu_numpy", "cuda", "default_device",
    "empty", "exp", "flip", "full", "kernels", "log", "max", "maximum", "ndarray", "reshape", "sum", "tanh",
]  # fmt: skip
