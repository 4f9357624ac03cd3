"""A sample of an op, and what the files of `tests/families` are written with."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray
Refusal = tuple[Any, tuple[Any, ...], str]  # an op, the shapes of its inputs, a pattern that the message must match
draw = np.random.default_rng(0)
SHAPES: list[tuple[int, ...]] = [(3, 4), (2, 3, 1, 2), (), (0, 3)]


@dataclass(frozen=True)
class Case:
    """`op` applied to `inputs`: arrays, or a tuple of arrays where the op works on a TensorTuple."""

    op: Any
    inputs: tuple[Any, ...]
    fixed: tuple[int, ...] = ()  # inputs that are not differentiated: labels, ids, masks
    outputs: int | None = None  # how many of the outputs are differentiated; the others count as constants
    saved: Callable[..., tuple[Array, ...]] | None = None  # further inputs, which follow from the others

    @property
    def name(self) -> str:
        shapes = [[y.shape for y in x] if isinstance(x, tuple) else x.shape for x in self.inputs]
        return f"{self.op} {' '.join(map(str, shapes))}".replace(", ", ",")

    def all_inputs(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """`inputs` and what is saved of them."""
        return inputs + (self.saved(*inputs) if self.saved else ())


class _Torch:
    """PyTorch, imported when the first counterpart is called: most runs of the tests do without."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module("torch"), name)


torch: Any = _Torch()


def normal(*shape: int) -> Array:
    return np.asarray(draw.standard_normal(shape))


def positive(*shape: int) -> Array:
    return np.asarray(draw.uniform(0.5, 2.0, shape))


def ids(n: int, *shape: int) -> Array:
    return np.asarray(draw.integers(0, n, shape)).astype(float)


def gathered(shape: tuple[int, ...], source: Callable[[tuple[int, ...]], Any]) -> Array:
    """The array whose element at each index is source(index)."""
    out = np.zeros(shape)
    for index in np.ndindex(*shape):
        out[index] = source(index)
    return out


def axes_of(axes: Any, ndim: int) -> tuple[int, ...]:
    given = range(ndim) if axes is None else [axes] if isinstance(axes, int) else axes
    return tuple(axis + ndim if axis < 0 else axis for axis in given)


def by_differences(forward: Callable[..., Any], grads: tuple[Array, ...], inputs: tuple[Array, ...]) -> list[Array]:
    """The adjoints of `inputs`, given those of the first outputs of `forward`, by central differences."""

    def loss() -> float:
        outputs = forward(*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return sum(float((np.asarray(g) * y).sum()) for g, y in zip(grads, outputs, strict=False))

    inputs, found = tuple(np.array(x, dtype=float) for x in inputs), []
    for x in inputs:
        found.append(np.zeros(x.shape))
        for index in np.ndindex(*x.shape):
            kept, eps = x[index], 1e-5
            x[index] = kept + eps
            above = loss()
            x[index] = kept - eps
            found[-1][index] = (above - loss()) / (2 * eps)
            x[index] = kept
    return found
