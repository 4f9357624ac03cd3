"""The one device of numpy mode: makes plain numpy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from .backend_ndarray.plain.gather import one_hot


class Device:
    """numpy on this processor."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device)

    def __hash__(self) -> int:
        return hash("needle.cpu")

    def __repr__(self) -> str:
        return "needle.cpu()"

    def enabled(self) -> bool:
        """Whether arrays can be made on this device."""
        return True

    def rand(self, *shape: int, dtype: Any = "float64") -> np.ndarray:
        """Uniform on [0, 1)."""
        return np.asarray(np.random.rand(*shape)).astype(dtype, copy=False)

    def randn(self, *shape: int, dtype: Any = "float64") -> np.ndarray:
        """Standard normal."""
        return np.asarray(np.random.randn(*shape)).astype(dtype, copy=False)

    def one_hot(self, n: int, i: Any, dtype: Any = "float32") -> np.ndarray:
        """Rows of the n by n identity: shape i.shape + (n,). An index outside -n..n-1 is an IndexError."""
        return one_hot(n, i, dtype)

    def empty(self, shape: int | tuple[int, ...], dtype: Any = "float32") -> np.ndarray:
        """An array whose elements are whatever the memory holds."""
        return np.empty(shape, dtype=dtype)

    def full(self, shape: int | tuple[int, ...], fill_value: float, dtype: Any = "float32") -> np.ndarray:
        """An array of one number."""
        return np.full(shape, fill_value, dtype=dtype)


def cpu() -> Device:
    """The device of numpy mode."""
    return Device()


def default_device() -> Device:
    """Where arrays go when no device is named."""
    return cpu()


def all_devices() -> list[Device]:
    """Every device."""
    return [cpu()]
