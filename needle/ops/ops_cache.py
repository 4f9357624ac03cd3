"""Ops of decoding with a cache: memory (slots, context, H, D), each slot holding one sequence's keys or values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy

from ..autograd import Tensor, TensorOp
from ..backend_ndarray.kernels import kernels
from ..errors import DTypeError, ShapeError
from ..types import Type
from . import array_compat
from .attributes import PlainFields
from .composite import gradient_of
from .dtype_rules import one_dtype, one_float
from .ops_broadcast import broadcast_to, filled
from .ops_cast import cast
from .ops_compare import less_equal, where
from .ops_gather import Take
from .ops_logarithmic import softmax
from .ops_matmul import matmul
from .ops_reshape import reshape, transpose
from .ops_sequence import HIDDEN, iota

__all__ = ["CacheWrite", "CachedAttention", "Positions", "cache_write", "cached_attention", "positions"]


@dataclass(frozen=True)
class Positions(TensorOp):
    """y[b, t] = first[b] + t, for each place t along axis 1 of x, whose values do not matter

    first (B,), x (B, T, ...), y (B, T) in the dtype of first, which may be any but bool.
    """

    def infer(self, first: Type, x: Type) -> Type:
        if len(first.shape) != 1 or len(x.shape) < 2 or first.shape[0] != x.shape[0]:
            raise ShapeError(f"[positions] needs first (B,) and x (B, T, ...), got {first.shape} and {x.shape}")
        if first.dtype == "bool":
            raise DTypeError("[positions] counts in the dtype of first, which bool cannot; take first.astype('int32')")
        return Type(x.shape[:2], first.dtype)

    def compute(self, first: Any, x: Any) -> Any:
        batch, steps = x.shape[:2]
        counted = array_compat.constant(first, numpy.arange(steps).reshape(1, steps))
        rows = array_compat.broadcast_to(array_compat.reshape(first, (batch, 1)), (batch, steps))
        return rows + array_compat.broadcast_to(counted, (batch, steps))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return None, None


@dataclass(frozen=True)
class CacheWrite(TensorOp):
    """y = cache, but y[slot[b], position[b] + t] = new[b, t]

    cache and y (slots, context, H, D), new (B, T, H, D), slot and position (B,) whole numbers of any dtype. Of two rows
    that name the same place the later one stays.
    """

    def infer(self, cache: Type, new: Type, slot: Type, position: Type) -> Type:
        if len(cache.shape) != 4 or len(new.shape) != 4 or new.shape[2:] != cache.shape[2:]:
            given = f"{cache.shape} and {new.shape}"
            raise ShapeError(f"[cache_write] needs a cache (slots, context, H, D) and new (B, T, H, D), got {given}")
        _check_rows("cache_write", cache, new.shape[0], new.shape[1], slot, position)
        return Type(cache.shape, one_dtype("cache_write", cache, new))

    def compute(self, cache: Any, new: Any, slot: Any, position: Any) -> Any:
        return kernels(cache).cache_write(cache, new, slot, position)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        """new gets what comes back from its places, which the cache before then lacks: rows must not share any."""
        _, new, slot, position = node.inputs
        slots, context, heads, depth = out_grad.shape
        places = Positions()(slot * context + position, new)
        before = CacheWrite()(out_grad, filled(new.shape, 0.0, out_grad), slot, position)
        return before, Take(0)(reshape(out_grad, (slots * context, heads, depth)), places), None, None


@dataclass(frozen=True)
class CachedAttention(PlainFields, TensorOp):
    """y[b, h, i] = sum over j <= position[b] + i of softmax_j(scale q[b, h, i] . k[j, h]) v[j, h], k = keys[slot[b]]

    q and y (B, H, T, D), keys and values (slots, context, H, D), slot and position (B,) whole numbers of any dtype. A
    row has the bits that it has alone, in any slot, and however its sequence was cut into calls.
    """

    scale: float

    def infer(self, q: Type, keys: Type, values: Type, slot: Type, position: Type) -> Type:
        same = len(q.shape) == 4 and len(keys.shape) == 4 and keys.shape == values.shape
        if not same or (q.shape[1], q.shape[3]) != keys.shape[2:]:
            given = f"{q.shape}, {keys.shape}, {values.shape}"
            raise ShapeError(
                f"[cached_attention] needs q (B, H, T, D), keys and values (slots, context, H, D), got {given}"
            )
        _check_rows("cached_attention", keys, q.shape[0], q.shape[2], slot, position)
        return Type(q.shape, one_float("cached_attention", q, keys, values))

    def compute(self, q: Any, keys: Any, values: Any, slot: Any, position: Any) -> Any:
        return kernels(q).cached_attention(q, keys, values, slot, position, self.scale)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        def formula(q: Tensor, keys: Tensor, values: Tensor, slot: Tensor, position: Tensor) -> Tensor:
            k, v = (transpose(Take(0)(x, slot), (1, 2)) for x in (keys, values))
            scores = matmul(q, transpose(k)) * self.scale
            last = positions(cast(position, "int64"), transpose(q, (1, 2)))
            last = broadcast_to(reshape(last, (last.shape[0], 1, last.shape[1], 1)), scores.shape)
            return matmul(softmax(where(less_equal(iota(last, -1), last), scores, HIDDEN)), v)

        return gradient_of(formula, out_grad, node)


def _check_rows(where: str, cache: Type, batch: int, steps: int, slot: Type, position: Type) -> None:
    """ShapeError unless each of `batch` rows has a slot and a position, and `steps` of them have room in a slot."""
    if slot.shape != (batch,) or position.shape != (batch,):
        given = f"{slot.shape} and {position.shape}"
        raise ShapeError(f"[{where}] needs a slot and a position for each of {batch} rows, got {given}")
    if steps > cache.shape[1]:
        raise ShapeError(f"[{where}] a slot has room for {cache.shape[1]} positions, got {steps}")


def positions(first: Tensor, x: Tensor) -> Tensor:
    """first[b] + t for each row b and each place t along axis 1 of x (B, T, ...); first (B,)."""
    return Positions()(first, x)


def cache_write(cache: Tensor, new: Tensor, slot: Tensor, position: Tensor) -> Tensor:
    """The cache (slots, context, H, D), copied, in which row b of new (B, T, H, D) is in its slot from its position on.

    Raises IndexRangeError, naming the row, for places outside the cache.
    """
    return CacheWrite()(cache, new, slot, position)


def cached_attention(q: Tensor, keys: Tensor, values: Tensor, slot: Tensor, position: Tensor, scale: float) -> Tensor:
    """Attention of q (B, H, T, D), row b of which goes on at its position of its slot, over what is in the slot so far.

    Raises IndexRangeError, naming the row, for places outside the cache.
    """
    return CachedAttention(scale)(q, keys, values, slot, position)
