"""Elements by their place: gathered, scattered, found, repeated, put in order; and reductions that needle lacks."""

from __future__ import annotations

import string
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy

from needle.errors import ShapeError
from needle.sizes import terms_of
from needle.types import Type

from ..dtypes import numpy_dtype
from .base import NumpyOp, NumpyTupleOp, counted

ADDED = {
    "add": numpy.add, "mul": numpy.multiply, "max": numpy.maximum, "min": numpy.minimum, "none": None,
}  # fmt: skip


@dataclass(frozen=True)
class GatherND(NumpyOp):
    """y[b, i] = x[b, indices[b, i]], each row of indices naming a place; `batch` leading axes go along"""

    batch: int = 0

    def infer(self, x: Type, indices: Type) -> Type:
        depth = indices.shape[-1]
        if self.batch + depth > len(x.shape) or self.batch >= len(indices.shape):
            raise ShapeError(f"[gather_nd] indices {indices.shape} name more axes than {x.shape} has")
        return Type((*indices.shape[:-1], *x.shape[self.batch + depth :]), x.dtype)

    def value(self, x: Any, indices: Any) -> Any:
        lead = x.shape[: self.batch]
        count = int(numpy.prod(lead))
        rows, places = x.reshape(count, *x.shape[self.batch :]), indices.reshape(count, -1, indices.shape[-1])
        found = [row[tuple(place.T.astype("int64"))] for row, place in zip(rows, places, strict=True)]
        shape = (*indices.shape[:-1], *x.shape[self.batch + indices.shape[-1] :])
        return numpy.stack(found).reshape(shape) if found else numpy.zeros(shape, x.dtype)


@dataclass(frozen=True)
class ScatterND(NumpyOp):
    """y = x, but y[indices[i]] = updates[i], or combined with what is there by `reduction`"""

    reduction: str = "none"

    def infer(self, x: Type, indices: Type, updates: Type) -> Type:
        _check_reduction(self.reduction)
        needed = (*indices.shape[:-1], *x.shape[indices.shape[-1] :])
        if indices.shape[-1] > len(x.shape) or updates.shape != needed:
            raise ShapeError(f"[scatter_nd] needs updates {needed}, got {updates.shape}")
        return x

    def value(self, x: Any, indices: Any, updates: Any) -> Any:
        y = x.copy()
        places = tuple(numpy.moveaxis(indices.astype("int64"), -1, 0))
        combine = ADDED[self.reduction]
        if combine is None:
            y[places] = updates
        else:
            combine.at(y, places, updates)
        return y


@dataclass(frozen=True)
class ScatterElements(NumpyOp):
    """y = x, but y[.., indices[i], ..] = updates[i] along an axis, or combined with what is there by `reduction`"""

    axis: int = 0
    reduction: str = "none"

    def infer(self, x: Type, indices: Type, updates: Type) -> Type:
        _check_reduction(self.reduction)
        if indices.shape != updates.shape or len(indices.shape) != len(x.shape):
            raise ShapeError(f"[scatter] needs indices and updates of one shape, got {indices.shape}, {updates.shape}")
        return x

    def value(self, x: Any, indices: Any, updates: Any) -> Any:
        y, axis = x.copy(), self.axis % x.ndim
        places = list(numpy.indices(indices.shape))
        places[axis] = numpy.where(indices < 0, indices + x.shape[axis], indices).astype("int64")
        combine = ADDED[self.reduction]
        if combine is None:
            y[tuple(places)] = updates
        else:
            combine.at(y, tuple(places), updates)
        return y


def _check_reduction(reduction: str) -> None:
    if reduction not in ADDED:
        raise ShapeError(f"[scatter] reduction must be one of {', '.join(ADDED)}, got {reduction!r}")


@dataclass(frozen=True)
class TensorScatter(NumpyOp):
    """y = cache, but new lies in it from write[b] on along an axis, round the end if `circular`"""

    axis: int
    circular: bool = False

    def infer(self, cache: Type, new: Type, *write: Type) -> Type:
        return cache

    def value(self, cache: Any, new: Any, *write: Any) -> Any:
        y, axis = cache.copy(), self.axis % cache.ndim
        steps, room = new.shape[axis], cache.shape[axis]
        starts = write[0] if write else numpy.zeros(cache.shape[0], dtype="int64")
        for b in range(cache.shape[0]):
            places = int(starts[b]) + numpy.arange(steps)
            if self.circular:
                places %= room
            elif places.size and places[-1] >= room:
                raise ShapeError(f"[tensor_scatter] row {b} ends at {places[-1]}, the cache has {room} places")
            numpy.moveaxis(y[b], axis - 1, 0)[places] = numpy.moveaxis(new[b], axis - 1, 0)
        return y


@dataclass(frozen=True)
class OneHot(NumpyOp):
    """y = on where the index is the place along a new axis of size `depth`, else off; values (off, on)"""

    depth: int
    axis: int = -1

    def infer(self, indices: Type, values: Type) -> Type:
        axis = self.axis % (len(indices.shape) + 1)
        return Type((*indices.shape[:axis], self.depth, *indices.shape[axis:]), values.dtype)

    def value(self, indices: Any, values: Any) -> Any:
        axis = self.axis % (indices.ndim + 1)
        ids = indices.astype("int64")
        ids = numpy.where(ids < 0, ids + self.depth, ids)
        places = numpy.arange(self.depth).reshape((-1,) + (1,) * (indices.ndim - axis))
        return numpy.where(numpy.expand_dims(ids, axis) == places, values[1], values[0]).astype(values.dtype)


@dataclass(frozen=True)
class Choice(NumpyOp):
    """y = a where the condition, one truth value, holds, else b; where they differ a size is known once it has run"""

    chosen: tuple[str, ...]  # the names of those sizes; "" for an axis along which they agree

    def infer(self, condition: Type, a: Type, b: Type) -> Type:
        if a.dtype != b.dtype or not len(a.shape) == len(b.shape) == len(self.chosen):
            raise ShapeError(f"[choice] needs two arrays of one dtype and as many axes, got {a} and {b}")
        if prod(condition.shape) != 1:
            raise ShapeError(f"[choice] the condition must be one truth value, got {condition}")
        pairs = zip(a.shape, b.shape, self.chosen, strict=True)
        return Type(tuple(m if terms_of(m) == terms_of(n) else counted(name) for m, n, name in pairs), a.dtype)

    def value(self, condition: Any, a: Any, b: Any) -> Any:
        return a if bool(condition.reshape(-1)[0]) else b


@dataclass(frozen=True)
class NonZero(NumpyOp):
    """y[:, i] = the place of the i-th element that is not 0; how many there are, data decide"""

    count: str

    def infer(self, x: Type) -> Type:
        return Type((len(x.shape), counted(self.count)), "int64")

    def value(self, x: Any) -> Any:
        return numpy.array(numpy.nonzero(x if x.ndim else x.reshape(1)), dtype="int64").reshape(x.ndim, -1)


@dataclass(frozen=True)
class Compress(NumpyOp):
    """y = the slices of x along an axis (of all elements in order where it is None) where the condition is true"""

    axis: int | None
    count: str

    def infer(self, x: Type, condition: Type) -> Type:
        if self.axis is None:
            return Type((counted(self.count),), x.dtype)
        axis = self.axis % len(x.shape)
        return Type((*x.shape[:axis], counted(self.count), *x.shape[axis + 1 :]), x.dtype)

    def value(self, x: Any, condition: Any) -> Any:
        return numpy.compress(condition, x, self.axis)


@dataclass(frozen=True)
class Unique(NumpyTupleOp):
    """(the distinct elements, or slices along an axis, where each is first, which one each element is, how often)"""

    axis: int | None
    ordered: bool
    count: str

    def infer(self, x: Type) -> tuple[Type, ...]:
        n = counted(self.count)
        if self.axis is None:
            size: Any = 1
            for each in x.shape:
                size = size * each
            shape: tuple[int, ...] = (n,)
        else:
            axis = self.axis % len(x.shape)
            shape, size = (*x.shape[:axis], n, *x.shape[axis + 1 :]), x.shape[axis]
        return Type(shape, x.dtype), Type((n,), "int64"), Type((size,), "int64"), Type((n,), "int64")

    def value(self, x: Any) -> Any:
        y, first, inverse, counts = numpy.unique(x, True, True, True, axis=self.axis)
        inverse = inverse.reshape(-1)
        if not self.ordered:
            order = numpy.argsort(first)
            y = numpy.take(y, order, 0 if self.axis is None else self.axis)
            first, counts = first[order], counts[order]
            rank = numpy.empty_like(order)
            rank[order] = numpy.arange(order.size)
            inverse = rank[inverse]
        return y, first.astype("int64"), inverse.astype("int64"), counts.astype("int64")


@dataclass(frozen=True)
class ReverseSequence(NumpyOp):
    """y = x with the first lengths[b] steps of each row in reverse order"""

    batch_axis: int
    time_axis: int

    def infer(self, x: Type, lengths: Type) -> Type:
        return x

    def value(self, x: Any, lengths: Any) -> Any:
        y = x.copy()
        for b, n in enumerate(lengths.astype("int64")):
            row: list[Any] = [slice(None)] * x.ndim
            back = list(row)
            row[self.batch_axis] = back[self.batch_axis] = b
            row[self.time_axis], back[self.time_axis] = slice(0, n), slice(n - 1, None, -1) if n else slice(0, 0)
            y[tuple(row)] = x[tuple(back)]
        return y


@dataclass(frozen=True)
class Trilu(NumpyOp):
    """y = the upper (or lower) triangle of the last two axes, from diagonal k on; 0 elsewhere"""

    k: int
    upper: bool

    def infer(self, x: Type) -> Type:
        return x

    def value(self, x: Any) -> Any:
        return numpy.triu(x, self.k) if self.upper else numpy.tril(x, self.k)


@dataclass(frozen=True)
class Arange(NumpyOp):
    """y = start, start + step, ..., `count` of them"""

    start: int
    step: int
    count: int
    dtype: str = "int64"

    def infer(self) -> Type:
        return Type((self.count,), self.dtype)

    def value(self) -> Any:
        return (int(self.start) + int(self.step) * numpy.arange(int(self.count))).astype(numpy_dtype(self.dtype))


@dataclass(frozen=True)
class Einsum(NumpyOp):
    """y = the sum of products that the equation names, as numpy's einsum has it"""

    equation: str

    def infer(self, *given: Type) -> Type:
        left, _, right = self.equation.replace(" ", "").partition("->")
        terms = left.split(",")
        if len(terms) != len(given):
            raise ShapeError(f"[einsum] '{self.equation}' needs {len(terms)} operands, got {len(given)}")
        sizes: dict[str, int] = {}
        dots: tuple[int, ...] = ()
        for term, x in zip(terms, given, strict=True):
            names, shape = self._named(term, x.shape)
            for name, n in zip(names, shape, strict=True):
                if name not in sizes or sizes[name] == 1:
                    sizes[name] = n
            around = tuple(name for name in names if name.startswith("."))
            dots = dots if len(dots) >= len(around) else around  # type: ignore[assignment]
        if "->" not in self.equation:
            letters = sorted(c for c in set(left) if c.isalpha() and left.count(c) == 1)
            right = ("..." if "..." in left else "") + "".join(letters)
        out: list[int] = []
        for name in self._split(right, len(dots)):
            out.append(sizes[name])
        return Type(tuple(out), given[0].dtype)

    @staticmethod
    def _split(term: str, hidden: int) -> list[str]:
        before, dots, after = term.partition("...")
        middle = [f".{i}" for i in range(-hidden, 0)] if dots else []
        return [*before, *middle, *after]

    def _named(self, term: str, shape: tuple[int, ...]) -> tuple[list[str], tuple[int, ...]]:
        hidden = len(shape) - sum(c in string.ascii_letters for c in term)
        names = self._split(term, hidden)
        if len(names) != len(shape):
            raise ShapeError(f"[einsum] '{term}' does not name the axes of {shape}")
        return names, shape

    def value(self, *arrays: Any) -> Any:
        return numpy.asarray(numpy.einsum(self.equation, *arrays)).astype(arrays[0].dtype)


@dataclass(frozen=True)
class Product(NumpyOp):
    """y = the product over axes"""

    axes: tuple[int, ...]
    keepdims: bool

    def infer(self, x: Type) -> Type:
        if self.keepdims:
            return Type(tuple(1 if i in self.axes else n for i, n in enumerate(x.shape)), x.dtype)
        return Type(tuple(n for i, n in enumerate(x.shape) if i not in self.axes), x.dtype)

    def value(self, x: Any) -> Any:
        return numpy.asarray(numpy.prod(x, axis=self.axes, keepdims=self.keepdims, dtype=x.dtype))


@dataclass(frozen=True)
class Extremum(NumpyOp):
    """y = the largest or smallest over axes; of none the end of the dtype's range"""

    axes: tuple[int, ...]
    keepdims: bool
    largest: bool

    infer = Product.infer

    def value(self, x: Any) -> Any:
        from ..dtypes import limits

        low, high = limits(str(x.dtype))
        reduce = numpy.max if self.largest else numpy.min
        return numpy.asarray(
            reduce(x, axis=self.axes, keepdims=self.keepdims, initial=x.dtype.type(low if self.largest else high))
        )


@dataclass(frozen=True)
class CumProd(NumpyOp):
    """y[..., i, ...] = product of x[..., j, ...] over j <= i along an axis; as `CumSum`"""

    axis: int
    exclusive: bool = False
    reverse: bool = False

    def infer(self, x: Type) -> Type:
        return x

    def value(self, x: Any) -> Any:
        axis = self.axis % x.ndim
        y = numpy.cumprod(numpy.flip(x, axis) if self.reverse else x, axis=axis, dtype=x.dtype)
        if self.exclusive:
            y = numpy.roll(y, 1, axis)
            y[(slice(None),) * axis + (slice(0, 1),)] = 1
        return numpy.ascontiguousarray(numpy.flip(y, axis)) if self.reverse else y


@dataclass(frozen=True)
class Det(NumpyOp):
    """y = the determinant of each matrix of the last two axes"""

    def infer(self, x: Type) -> Type:
        return Type(x.shape[:-2], x.dtype)

    def value(self, x: Any) -> Any:
        return numpy.asarray(numpy.linalg.det(x)).astype(x.dtype)
