"""Strings: joined, split, normalised, matched, counted as n-grams, and labels for one another."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy

from needle.errors import ShapeError
from needle.ops.shape_rules import broadcast_shape
from needle.types import Type

from ..dtypes import numpy_dtype
from .base import NumpyOp, NumpyTupleOp, counted


@dataclass(frozen=True)
class StringConcat(NumpyOp):
    """y = a followed by b, elementwise"""

    def infer(self, a: Type, b: Type) -> Type:
        return Type(broadcast_shape("string_concat", a.shape, b.shape), "object")

    def value(self, a: Any, b: Any) -> Any:
        return numpy.asarray(numpy.add(a, b), dtype=object)


@dataclass(frozen=True)
class StringSplit(NumpyTupleOp):
    """(the pieces of each string between delimiters, "" behind the last; how many they are); without one, at spaces"""

    delimiter: str
    most: int | None
    count: str

    def infer(self, x: Type) -> tuple[Type, ...]:
        return Type((*x.shape, counted(self.count)), "object"), Type(x.shape, "int64")

    def value(self, x: Any) -> Any:
        limit = -1 if self.most is None else self.most
        rows = [str(s).split(self.delimiter or None, limit) if s else [] for s in x.reshape(-1)]
        widest = max(map(len, rows), default=0)
        wide = [row + [""] * (widest - len(row)) for row in rows]
        pieces = numpy.array(wide, dtype=object).reshape(*x.shape, widest)
        return pieces, numpy.array([len(row) for row in rows], dtype="int64").reshape(x.shape)


@dataclass(frozen=True)
class StringNormalizer(NumpyOp):
    """y = the strings in one case, without the stop words; how many are left, data decide"""

    case: str
    sensitive: bool
    stop: tuple[str, ...]
    count: str

    def infer(self, x: Type) -> Type:
        return Type((*x.shape[:-1], counted(self.count)) if self.stop else x.shape, "object")

    def value(self, x: Any) -> Any:
        change = {"LOWER": str.lower, "UPPER": str.upper}.get(self.case, str)
        stop = set(self.stop if self.sensitive else (s.lower() for s in self.stop))
        kept = [s for s in x.reshape(-1) if (s if self.sensitive else s.lower()) not in stop]
        if self.stop:
            kept = kept or [""]
            return numpy.array([change(s) for s in kept], dtype=object).reshape((1,) * (x.ndim - 1) + (-1,))
        return numpy.array([change(s) for s in kept], dtype=object).reshape(x.shape)


@dataclass(frozen=True)
class RegexFullMatch(NumpyOp):
    """y = whether the whole string matches the pattern"""

    pattern: str

    def infer(self, x: Type) -> Type:
        return Type(x.shape, "bool")

    def value(self, x: Any) -> Any:
        match = re.compile(self.pattern).fullmatch
        return numpy.array([match(s) is not None for s in x.reshape(-1)], dtype=bool).reshape(x.shape)


@dataclass(frozen=True)
class TfIdfVectorizer(NumpyOp):
    """y[indexes[g]] = how often the n-gram g of the pool occurs, items up to `skips` apart; or whether, or weighted"""

    shortest: int
    longest: int
    skips: int
    mode: str
    counts: tuple[int, ...]
    indexes: tuple[int, ...]
    pool: tuple[Any, ...]
    weights: tuple[float, ...]

    def infer(self, x: Type) -> Type:
        return Type((*x.shape[:-1], max(self.indexes) + 1), "float32")

    def value(self, x: Any) -> Any:
        grams: dict[tuple[Any, ...], int] = {}
        for n, (start, end) in enumerate(zip(self.counts, (*self.counts[1:], len(self.pool)), strict=True), 1):
            for at in range(start, end, n):
                grams[tuple(self.pool[at : at + n])] = len(grams)
        rows = x.reshape(-1, x.shape[-1]) if x.ndim > 1 else x.reshape(1, -1)
        y = numpy.zeros((len(rows), max(self.indexes) + 1), dtype="float32")
        for row, out in zip(rows.tolist(), y, strict=True):
            for n in range(self.shortest, self.longest + 1):
                for skip in range(self.skips + 1 if n > 1 else 1):
                    step = skip + 1
                    for at in range(len(row) - (n - 1) * step):
                        g = grams.get(tuple(row[at : at + (n - 1) * step + 1 : step]))
                        if g is not None:
                            out[self.indexes[g]] += 1
        weights = numpy.ones(y.shape[1], dtype="float32")
        for g, w in enumerate(self.weights):
            weights[self.indexes[g]] = w
        y = (y > 0).astype("float32") * weights if self.mode == "IDF" else y * (weights if self.mode == "TFIDF" else 1)
        return y.reshape(*x.shape[:-1], y.shape[1]).astype("float32")


@dataclass(frozen=True)
class LabelEncoder(NumpyOp):
    """y = values[i] where x = keys[i], else the default; NaN is a key like others"""

    keys: tuple[Any, ...]
    values: tuple[Any, ...]
    default: Any
    dtype: str

    def infer(self, x: Type) -> Type:
        if len(self.keys) != len(self.values):
            raise ShapeError(f"[label_encoder] needs a value for each key, got {len(self.keys)} and {len(self.values)}")
        return Type(x.shape, self.dtype)

    def value(self, x: Any) -> Any:
        def key(v: Any) -> Any:
            return "NaN" if isinstance(v, float) and v != v else v

        table = {key(k): v for k, v in zip(self.keys, self.values, strict=True)}
        if x.dtype.kind == "f":
            table = {key(float(numpy.asarray(k, x.dtype))) if k != "NaN" else k: v for k, v in table.items()}
        found = [table.get(key(v), self.default) for v in x.reshape(-1).tolist()]
        return numpy.array(found, dtype=numpy_dtype(self.dtype)).reshape(x.shape)

