"""Pooling over windows of any shape along any axes of (N, C, *S), and what puts windows back in place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy

from needle.errors import ShapeError
from needle.types import Type

from .base import NumpyOp, NumpyTupleOp

Ints = tuple[int, ...]
Widths = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Windows:
    """Windows of `kernel` places, `dilation` apart, every `stride` places, on axes padded by (before, after).

    With `ceil` a last window that hangs over the end counts, if it begins inside the axis or its padding before.
    """

    kernel: Ints
    stride: Ints
    padding: Widths
    dilation: Ints
    ceil: bool = False

    def counts(self, size: Ints) -> Ints:
        """How many windows there are along each axis."""
        found = []
        for n, k, s, (a, b), d in zip(size, self.kernel, self.stride, self.padding, self.dilation, strict=True):
            room = n + a + b - ((k - 1) * d + 1)
            count = (-(-room // s) if self.ceil else room // s) + 1
            if self.ceil and (count - 1) * s >= n + a:
                count -= 1
            found.append(count)
        if any(n < 1 for n in found):
            raise ShapeError(f"[pool] no window fits: kernel {self.kernel}, padding {self.padding}, image {size}")
        return tuple(found)

    def places(self, size: Ints) -> tuple[list[Any], Any]:
        """Of each axis the places (count, kernel), without padding; and whether each is inside, (*counts, *kernel)."""
        axes = []
        rows = zip(self.counts(size), self.kernel, self.stride, self.padding, self.dilation, strict=True)
        for count, k, s, (a, _), d in rows:
            axes.append(numpy.arange(count)[:, None] * s - a + numpy.arange(k) * d)
        inside: Any = numpy.ones((), dtype=bool)
        r = len(axes)
        for i, (at, n) in enumerate(zip(axes, size, strict=True)):
            shape = [1] * (2 * r)
            shape[i], shape[r + i] = at.shape
            inside = inside & ((at >= 0) & (at < n)).reshape(shape)
        return axes, inside

    def of(self, x: Any, fill: Any) -> Any:
        """(N, C, *counts, *kernel): what each window sees of x (N, C, *S), `fill` outside."""
        size = x.shape[2:]
        axes, inside = self.places(size)
        r = len(size)
        index: list[Any] = []
        for i, (at, n) in enumerate(zip(axes, size, strict=True)):
            shape = [1] * (2 * r)
            shape[i], shape[r + i] = at.shape
            index.append(numpy.clip(at, 0, n - 1).reshape(shape))
        seen = x[(slice(None), slice(None), *index)]
        return numpy.where(inside, seen, fill)


@dataclass(frozen=True)
class _Windowed:
    """The settings of windows, as fields of an op."""

    kernel: Ints
    stride: Ints
    padding: Widths
    dilation: Ints
    ceil: bool = False

    @property
    def windows(self) -> Windows:
        """The windows."""
        return Windows(self.kernel, self.stride, self.padding, self.dilation, self.ceil)


def pooled(x: Type, windows: Windows) -> Type:
    """The type of a result of pooling."""
    if len(x.shape) != len(windows.kernel) + 2:
        raise ShapeError(f"[pool] needs x (N, C, ...) with {len(windows.kernel)} axes of an image, got {x.shape}")
    return Type((*x.shape[:2], *windows.counts(x.shape[2:])), x.dtype)


@dataclass(frozen=True)
class MaxPoolIndices(_Windowed, NumpyTupleOp):
    """(the largest of each window, its place among all elements of x in order), columns first if not `row_major`"""

    row_major: bool = True

    def infer(self, x: Type) -> tuple[Type, ...]:
        y = pooled(x, self.windows)
        return y, Type(y.shape, "int64")

    def value(self, x: Any) -> Any:
        from ..dtypes import limits

        low = limits(str(x.dtype))[0]
        seen, rank = self.windows.of(x, x.dtype.type(low)), len(x.shape) - 2
        flat = seen.reshape(*seen.shape[: 2 + rank], -1)
        image = self.numbers(x.shape[2:])
        base = numpy.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], *(1,) * rank)
        order = base * image.size + image
        at = self.windows.of(order, -1).reshape(flat.shape)
        best = numpy.where(at < 0, False, flat == flat.max(-1, keepdims=True)).argmax(-1)[..., None]
        return flat.max(-1), numpy.take_along_axis(at, best, -1)[..., 0].astype("int64")

    def numbers(self, size: Ints) -> Any:
        """The number of each element of an image."""
        order = numpy.arange(int(numpy.prod(size)))
        return order.reshape(size) if self.row_major else order.reshape(size[::-1]).transpose()


@dataclass(frozen=True)
class MeanPool(_Windowed, NumpyOp):
    """y = the mean of each window, over the places inside the image or, if they are `counted`, inside its padding"""

    counted: bool = False

    def infer(self, x: Type) -> Type:
        return pooled(x, self.windows)

    def value(self, x: Any) -> Any:
        axes = tuple(range(2 - x.ndim, 0))
        total = self.windows.of(x, x.dtype.type(0)).sum(axis=axes)
        return (total / self.inside(x.shape[2:])).astype(x.dtype)

    def inside(self, size: Ints) -> Any:
        """How many places of each window count."""
        w, rank = self.windows, len(size)
        if not self.counted:
            return w.places(size)[1].sum(axis=tuple(range(-rank, 0)))
        wide = tuple(n + a + b for n, (a, b) in zip(size, w.padding, strict=True))
        rows = zip(w.counts(size), w.stride, w.kernel, w.dilation, strict=True)
        starts = [numpy.arange(c)[:, None] * s + numpy.arange(k) * d for c, s, k, d in rows]
        inside: Any = numpy.ones((), dtype=bool)
        for i, (at, n) in enumerate(zip(starts, wide, strict=True)):  # what hangs over the padded image does not count
            shape = [1] * (2 * rank)
            shape[i], shape[rank + i] = at.shape
            inside = inside & (at < n).reshape(shape)
        return inside.sum(axis=tuple(range(-rank, 0)))


@dataclass(frozen=True)
class NormPool(_Windowed, NumpyOp):
    """y = (the sum of |x|^p over each window)^(1/p)"""

    p: int = 2

    def infer(self, x: Type) -> Type:
        return pooled(x, self.windows)

    def value(self, x: Any) -> Any:
        axes = tuple(range(-(x.ndim - 2), 0))
        total = (numpy.abs(self.windows.of(x, x.dtype.type(0))) ** self.p).sum(axis=axes)
        return (total ** (1 / self.p)).astype(x.dtype)


@dataclass(frozen=True)
class MaxUnpool(NumpyOp):
    """y = zeros in `shape`, but y[places[i]] = x[i], places numbering the elements of `inner`, a corner of y"""

    shape: Ints
    inner: Ints

    def infer(self, x: Type, places: Type) -> Type:
        return Type(tuple(self.shape), x.dtype)

    def value(self, x: Any, places: Any) -> Any:
        y = numpy.zeros(int(numpy.prod(self.inner)), dtype=x.dtype)
        y[places.reshape(-1)] = x.reshape(-1)
        y = y.reshape(self.inner)
        if self.inner == self.shape:
            return y
        out = numpy.zeros(self.shape, dtype=x.dtype)
        out[tuple(slice(0, n) for n in self.inner)] = y
        return out


@dataclass(frozen=True)
class Col2Im(_Windowed, NumpyOp):
    """y = the image whose windows are the columns of x (N, C prod(kernel), L), summed where they overlap"""

    image: Ints = ()

    def infer(self, x: Type) -> Type:
        count = int(numpy.prod(self.windows.kernel))
        return Type((x.shape[0], x.shape[1] // count, *self.image), x.dtype)

    def value(self, x: Any) -> Any:
        w, rank = self.windows, len(self.image)
        counts = w.counts(self.image)
        channels = x.shape[1] // int(numpy.prod(w.kernel))
        columns = x.reshape(x.shape[0], channels, *w.kernel, *counts)
        wide = tuple(n + a + b for n, (a, b) in zip(self.image, w.padding, strict=True))
        y = numpy.zeros((x.shape[0], channels, *wide), dtype=x.dtype)
        for u in numpy.ndindex(*w.kernel):
            rows = zip(u, w.dilation, counts, w.stride, strict=True)
            places = tuple(slice(k * d, k * d + (n - 1) * s + 1, s) for k, d, n, s in rows)
            y[(slice(None), slice(None), *places)] += columns[(slice(None), slice(None), *u)]
        inside = tuple(slice(a, a + n) for n, (a, _) in zip(self.image, w.padding, strict=True))
        return y[(slice(None), slice(None), *inside)] if rank else y
