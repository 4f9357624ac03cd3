"""Which arrays Tensors hold: NEEDLE_BACKEND=nd (NDArray, the default) or np (numpy.ndarray, every dtype kept)."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from . import environment, numpy_device

environment.check()
BACKEND = os.environ.get("NEEDLE_BACKEND") or "nd"

array_api: Any
NDArray: Any
Device: Any
cpu: Any
all_devices: Any
default_device: Any

if BACKEND == "nd":
    from . import backend_ndarray as array_api
    from .backend_ndarray import BackendDevice as Device
    from .backend_ndarray import NDArray, all_devices, cpu, cpu_numpy, cuda, default_device

    __all__ = ["BACKEND", "Device", "NDArray", "all_devices", "array_api", "cpu", "cpu_numpy", "cuda", "default_device"]
else:
    array_api = np
    NDArray = np.ndarray
    Device, cpu = numpy_device.Device, numpy_device.cpu
    all_devices, default_device = numpy_device.all_devices, numpy_device.default_device

    __all__ = ["BACKEND", "Device", "NDArray", "all_devices", "array_api", "cpu", "default_device"]
