"""The numbers that cases work on, and the kernels they call."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

import needle as ndl
from needle.backend_ndarray import NDArray, cpu, ndarray_backend_cpu
from needle.backend_ndarray.kernels import kernels

rng = np.random.default_rng(0)


class Kernels:
    """Every kernel of float32 on cpu() by its name: those with something around them, else the extension's own."""

    def __getattr__(self, name: str) -> Any:
        around = kernels(NDArray([0.0], device=cpu()))
        return getattr(around, name) if hasattr(around, name) else getattr(ndarray_backend_cpu, name)


k = Kernels()


@cache
def pytorch() -> Any:
    """The module bench.pytorch, imported when the first peer is built: comparing two commits needs no PyTorch."""
    return import_module("bench.pytorch")


def normal(*shape: int, scale: float = 1.0) -> NDArray:
    return NDArray((rng.standard_normal(shape) * scale).astype(np.float32), device=cpu())


def normals(*shapes: tuple[int, ...]) -> list[NDArray]:
    return [normal(*shape) for shape in shapes]


def full(value: float, *shape: int) -> NDArray:
    return NDArray(np.full(shape, value, np.float32), device=cpu())


def whole(limit: int, *shape: int) -> NDArray:
    """Whole numbers below `limit`."""
    return NDArray(rng.integers(0, limit, size=shape), device=cpu())


def variable(x: NDArray, requires_grad: bool = False) -> ndl.Tensor:
    return ndl.Tensor(x, device=ndl.cpu(), requires_grad=requires_grad)
