"""Random arguments: mostly of the kind that is asked for and small, so that many calls get past the checks."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable
from typing import Any

import numpy as np

import needle as ndl
from needle import BACKEND

DTYPES = ("float32", "float32", "float32", "float32", "float64", "int64", "int32", "bool")
SPECIAL = (np.nan, np.inf, -np.inf, 1e38, -1e38, 1e-42, 0.0, -0.0)
WORDS = ("mean", "sum", "none", "nearest", "bilinear", "zero", "reflect", "tanh", "relu", "float32", "fan_in", "normal")
DEVICES = [ndl.cpu()] * 9 + ([ndl.cpu_numpy()] if BACKEND == "nd" else [])
HOSTILE: list[Callable[[], Any]] = [
    lambda: None, lambda: "text", lambda: b"bytes", object, lambda: 1.5, lambda: float("nan"), lambda: float("inf"),
    lambda: -1, lambda: -(2**31), lambda: 2**31, lambda: 2**40, lambda: 2**63, lambda: 10**30, lambda: True, tuple,
    list, dict, lambda: [None], lambda: [[1, 2], [3]], lambda: (2**20, 2**20), lambda: (2**40, 2**40), lambda: (-1, 4),
    lambda: int, lambda: len, lambda: 1 + 2j, lambda: np.array(["x"]), lambda: np.zeros(3, "complex64"),
    lambda: np.zeros((2, 0)), lambda: np.float64(2), lambda: {1, 2}, lambda: slice(None), lambda: ...,
]  # fmt: skip


class Draw:
    """A source of arguments, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.numbers = np.random.default_rng(seed)

    def chance(self, p: float) -> bool:
        return self.random.random() < p

    def pick(self, choices: Any) -> Any:
        return self.random.choice(choices)

    def hostile(self) -> Any:
        return self.pick(HOSTILE)()

    def size(self) -> int:
        if self.chance(0.002):
            return int(self.pick((2**20, 2**31, 2**40)))
        return int(self.pick((0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 5, 8)))

    def shape(self) -> tuple[int, ...]:
        return tuple(self.size() for _ in range(self.pick((0, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5))))

    def whole(self) -> int:
        return int(self.pick((0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 8, -1, -2)))

    def real(self) -> float:
        return float(self.pick((0.0, 0.1, 0.25, 0.5, 0.9, 1.0, 1.5, 2.0, -0.5, 1e-5, 1e30, float("nan"), float("inf"))))

    def array(self, shape: tuple[int, ...] | None = None, dtype: str | None = None) -> np.ndarray:
        """Numbers of a shape; sometimes NaN, infinities and denormals among them."""
        shape = self.shape() if shape is None else shape
        dtype = dtype or self.pick(DTYPES)
        count = np.prod([float(n) for n in shape])
        if count > 1e6 or max(shape, default=0) > 2**30:
            return np.broadcast_to(np.zeros((), dtype), (2**40,) if count > 2.0**60 or not count else shape)
        real = dtype.startswith("float")
        values = self.numbers.standard_normal(shape) if real else self.numbers.integers(0, 4, shape)
        if self.chance(0.1) and real:
            values = np.where(self.numbers.random(shape) < 0.3, self.numbers.choice(SPECIAL, shape), values)
        with np.errstate(all="ignore"):
            return np.asarray(values).astype(dtype)

    def tensor(self, shape: tuple[int, ...] | None = None, dtype: str | None = None) -> ndl.Tensor:
        """A leaf, sometimes a view with strides of its own, sometimes on another device."""
        values = self.array(shape, dtype)
        if values.size > 1e6:
            values = np.zeros((2,), values.dtype)
        t = ndl.Tensor(values, device=self.pick(DEVICES), dtype=str(values.dtype), requires_grad=self.chance(0.5))
        if values.ndim > 1 and self.chance(0.2):
            return ndl.permute(t, self.random.sample(range(values.ndim), values.ndim))
        return t

    def named(self, name: str, annotation: str, default: Any) -> Any:
        """An argument for a parameter, from what it is called and annotated with."""
        if self.chance(0.03) and name != "num_layers":  # 10**30 of them would only take long
            return self.hostile()
        if default is not inspect.Parameter.empty and self.chance(0.5):
            return default
        if name == "device":
            return self.pick((None, *DEVICES))
        if name == "dtype":
            return self.pick(DTYPES)
        if "Sequence[Tensor]" in annotation or name in ("tensors", "parts", "params"):
            one = self.shape()
            return [self.tensor(one if self.chance(0.8) else None) for _ in range(self.pick((0, 1, 2, 2, 3)))]
        if "Tensor" in annotation and not ("int" in annotation and self.chance(0.5)):
            return self.tensor()
        if name in ("axes", "axis") or "Axes" in annotation:
            return self.pick((None, self.whole(), (self.whole(),), (0, 1), (0, -1), (1, 2), (), (2, 0, 1)))
        if name == "shape" or "Sequence[int]" in annotation or "tuple[int, ..." in annotation:
            return self.shape()
        return self.plain(annotation)

    def plain(self, annotation: str) -> Any:
        """A value of a plain annotation; of several that it allows, any."""
        makers = {
            "bool": lambda: self.chance(0.5), "int": self.whole, "float": self.real, "str": lambda: self.pick(WORDS),
            "Pair": lambda: (self.whole(), self.whole()), "ndarray": self.array, "NDArray": self.tensor,
            "None": lambda: None, "Any": lambda: self.pick((self.tensor, self.whole, self.real, self.array))(),
        }  # fmt: skip
        fits = [make for kind, make in makers.items() if kind in annotation]
        return self.pick(fits)() if fits else self.hostile()
