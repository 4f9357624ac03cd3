"""Attention and embedding on NDArrays, by the compiled kernels; see the twins in `plain`."""

from __future__ import annotations

from math import prod
from typing import Any

from needle.errors import ShapeError

from .. import ndarray_backend_cpu as kernels
from ..kernels import EXACT, through
from ..layout import is_dense
from ..ndarray import NDArray
from ..plain.softmax import out_of_range


def _heads(x: NDArray) -> tuple[Any, tuple[int, ...], int]:
    """x (B, H, T, D) where it is when its columns are contiguous, else a copy: array, strides, offset."""
    x = x if x._strides[-1] == 1 else x.compact()
    return x._handle, x._strides[:-1], x._offset


def _like(x: NDArray) -> NDArray:
    """A new array in the memory order of x: (B, T, H, D) seen as (B, H, T, D) stays so."""
    same = x._strides[-1] == 1 and is_dense(x._shape, x._strides)
    return NDArray.make(x.shape, x.strides if same else None, x.device)


def _output(x: NDArray) -> tuple[Any, tuple[int, ...]]:
    return x._handle, x._strides[:-1]


def _attention_sizes(where: str, q: NDArray, k: NDArray, v: NDArray, causal: bool) -> tuple[int, ...]:
    fits = q.ndim == k.ndim == 4 and k.shape == v.shape and q.shape[:2] == k.shape[:2] and q.shape[3] == k.shape[3]
    if not fits or 0 in k.shape[2:]:
        raise ShapeError(f"[{where}] needs q (B, H, Tq, D), k and v (B, H, Tk, D), got {q.shape}, {k.shape}, {v.shape}")
    if causal and q.shape[2] > k.shape[2]:
        raise ShapeError(
            f"[{where}] causal needs a key for every query, got {q.shape[2]} queries and {k.shape[2]} keys"
        )
    return (*q.shape[:3], *k.shape[2:])


def attention(q: NDArray, k: NDArray, v: NDArray, scale: float, causal: bool = False) -> tuple[NDArray, NDArray]:
    """out = softmax(scale q k^T) v; lse = log sum exp(scale q k^T).

    q (B, H, Tq, D), k and v (B, H, Tk, D). Returns out (B, H, Tq, D), in the memory order of q, and lse (B, H, Tq).
    With `causal`, the last query sees every key and each one before it one key fewer.
    """
    sizes = _attention_sizes("attention", q, k, v, causal)
    out, lse = _like(q), NDArray.make(q.shape[:3], device=q.device)
    kernels.attention(_heads(q), _heads(k), _heads(v), _output(out), lse._handle, sizes, scale, causal)
    return out, lse


def attention_gradient(
    g: NDArray, q: NDArray, k: NDArray, v: NDArray, out: NDArray, lse: NDArray, scale: float, causal: bool = False
) -> tuple[NDArray, NDArray, NDArray]:
    """dv = p^T g, ds = p (g v^T - sum(g out)), dq = scale ds k, dk = scale ds^T q; p = exp(scale q k^T - lse).

    Each gradient has the memory order of its array.
    """
    sizes = _attention_sizes("attention_gradient", q, k, v, causal)
    if g.shape != q.shape or out.shape != q.shape or lse.shape != q.shape[:3]:
        raise ShapeError(
            f"[attention_gradient] g and out must have the shape of q, {q.shape}, lse that without D, got "
            f"{g.shape}, {out.shape}, {lse.shape}"
        )
    dq, dk, dv = _like(q), _like(k), _like(v)
    given = [_heads(x) for x in (g, q, k, v, out)]
    made = [_output(x) for x in (dq, dk, dv)]
    kernels.attention_gradient(*given, lse.compact()._handle, *made, sizes, scale, causal)
    return dq, dk, dv


def embedding(ids: NDArray, weight: NDArray) -> NDArray:
    """y = weight[ids]; ids of any shape, weight (n, d), y ids.shape + (d,).

    Raises IndexRangeError for an id outside 0..n-1.
    """
    n, d = weight.shape
    if n > EXACT:
        return through(weight).embedding(ids, weight)
    ids, y = ids.astype("float32").compact(), NDArray.make((*ids.shape, d), device=weight.device)
    bad = kernels.embedding(ids._handle, weight.compact()._handle, y._handle, ids.size, n, d)
    if bad >= 0:
        raise out_of_range("embedding", "ids", n, ids.numpy().reshape(-1)[bad], "position", bad)
    return y


def embedding_gradient(g: NDArray, ids: NDArray, n: int) -> NDArray:
    """dweight[id] = sum of g over the places that hold id; g ids.shape + (d,), the result (n, d)."""
    if g.shape[:-1] != ids.shape:
        raise ShapeError(f"[embedding_gradient] needs g of shape ids.shape + (d,), got {g.shape} and {ids.shape}")
    if n > EXACT:
        return through(g).embedding_gradient(g, ids, n)
    ids, dweight = ids.astype("float32").compact(), NDArray.make((n, g.shape[-1]), device=g.device)
    bad = kernels.embedding_gradient(g.compact()._handle, ids._handle, dweight._handle, prod(ids.shape), n, g.shape[-1])
    if bad >= 0:
        raise out_of_range("embedding_gradient", "ids", n, ids.numpy().reshape(-1)[bad], "position", bad)
    return dweight
