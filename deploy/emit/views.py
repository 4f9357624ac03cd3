"""Values as the generated program holds them: a buffer, and strides into it; what grows with the batch stays a Dim."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy

from needle.types import Dim

from ..errors import EmitError


@dataclass(eq=False)
class Buffer:
    """`floats` per unit of `region` (see plan.py), or memory that is given: an input, an output, the weights."""

    name: str  # of the C++ variable
    floats: int = 0
    region: str = "given"
    first: int = -1
    last: int = -1
    note: str = ""
    readers: set[Any] = field(default_factory=set)  # nodes whose value lies in this buffer


@dataclass(frozen=True)
class View:
    """Element (i, j, ...) is `buffer[offset + i strides[0] + j strides[1] + ...]`."""

    buffer: Buffer
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    @property
    def pointer(self) -> str:
        """The address of the first element, as C++ text."""
        return self.buffer.name if same(self.offset, 0) else f"{self.buffer.name} + {number(self.offset)}"

    @property
    def dense(self) -> bool:
        """Whether the elements lie in order, without gaps."""
        wanted = dense_strides(self.shape)
        return all(
            same(a, b)
            for a, b, size in zip(self.strides, wanted, self.shape, strict=True)
            if isinstance(size, Dim) or size != 1
        )

    def permute(self, axes: Sequence[int]) -> View:
        """Axis k of the result is axis axes[k]."""
        return View(self.buffer, tuple(self.shape[a] for a in axes), tuple(self.strides[a] for a in axes), self.offset)

    def broadcast(self, shape: tuple[int, ...]) -> View:
        """Repeated to `shape` by numpy's rule: stride 0 along what is repeated."""
        extra = len(shape) - len(self.shape)
        strides = [
            step if same(size, wanted) else 0
            for size, step, wanted in zip(self.shape, self.strides, shape[extra:], strict=True)
        ]
        return View(self.buffer, shape, (0,) * extra + tuple(strides), self.offset)

    def take(self, axis: int, index: int) -> View:
        """The slice at `index` of `axis`, which goes away."""
        shape = self.shape[:axis] + self.shape[axis + 1 :]
        strides = self.strides[:axis] + self.strides[axis + 1 :]
        return View(self.buffer, shape, strides, added(self.offset, product([index, self.strides[axis]])))

    def flip(self, axis: int) -> View:
        """`axis` walked from its end."""
        size, step = self.shape[axis], self.strides[axis]
        if isinstance(size, Dim) or isinstance(step, Dim):
            raise EmitError("[emit] an axis can be flipped only if its place does not depend on the batch")
        strides = (*self.strides[:axis], -step, *self.strides[axis + 1 :])
        return View(self.buffer, self.shape, strides, added(self.offset, (size - 1) * step))

    def reshape(self, shape: tuple[int, ...]) -> View:
        """Other sizes for the same elements; only for dense views."""
        return View(self.buffer, shape, dense_strides(shape), self.offset)


def added(a: int, b: int) -> int:
    """a + b, where a Dim can only meet a Dim of its name, or 0."""
    if isinstance(a, Dim) and isinstance(b, Dim):
        return Dim(a.name, int(a) // a.scale, a.scale + b.scale)
    if isinstance(a, Dim) != isinstance(b, Dim) and a != 0 and b != 0:
        raise EmitError(f"[emit] a place may grow with the batch or not, but {a} + {b} does both")
    if isinstance(a, Dim) or isinstance(b, Dim):
        return a if same(b, 0) else b
    return a + b


def same(a: int, b: int) -> bool:
    """Equal whatever the batch size is."""
    return number(a) == number(b)


def dense_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Row-major strides."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step = product([size, step])
    return tuple(reversed(strides))


def product(sizes: Sequence[int]) -> int:
    """The product; a Dim if one of the sizes is. Raises EmitError for two named dims in one shape."""
    if sum(isinstance(size, Dim) for size in sizes) > 1:
        raise EmitError(f"[emit] at most one size of a value may be named, got {tuple(sizes)}")
    return math.prod(sizes)


def floats_of(shape: Sequence[int]) -> tuple[int, str]:
    """(floats per unit, region) of a value of this shape."""
    count = product(shape)
    return (count.scale, "item") if isinstance(count, Dim) else (count, "fixed")


def number(size: int) -> str:
    """A size as C++ text: `128`, `batch`, `4 * batch`."""
    if isinstance(size, Dim):
        return "batch" if size.scale == 1 else f"{size.scale} * batch"
    return str(int(size))


def constant(size: int) -> str:
    """A size as a template argument where it is known: `Const<128>{}`."""
    return number(size) if isinstance(size, Dim) else f"Const<{int(size)}>{{}}"


def braces(sizes: Sequence[int]) -> str:
    """`{batch, 3, 32}`."""
    return "{" + ", ".join(map(number, sizes)) + "}"


def literal(value: float) -> str:
    """A float as C++ text that reads back as the same float."""
    single = float(numpy.float32(value))
    if math.isinf(single):
        return "__builtin_inff()" if single > 0 else "-__builtin_inff()"
    if math.isnan(single):
        return '__builtin_nanf("")'
    text = f"{single:.9g}"
    return text + ("f" if any(c in text for c in ".e") else ".0f")
