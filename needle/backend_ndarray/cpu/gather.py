"""Slices and elements of NDArrays by their number along an axis, and the gradients that add them up again."""

from __future__ import annotations

from math import prod

from .. import ndarray_backend_cpu as kernels
from ..kernels import EXACT, through
from ..ndarray import NDArray
from ..plain.gather import no_place


def take(x: NDArray, ids: NDArray, axis: int) -> NDArray:
    """y[i, j, k] = x[i, ids[j], k]; ids of any shape in -n..n-1. Raises IndexRangeError for any other."""
    if x.shape[axis] > EXACT:
        return through(x).take(x, ids, axis)
    outer, inner, n = x.shape[:axis], x.shape[axis + 1 :], x.shape[axis]
    ids, y = _whole(ids), NDArray.make((*outer, *ids.shape, *inner), device=x.device)
    bad = kernels.take(x.compact()._handle, ids._handle, y._handle, prod(outer), n, ids.size, prod(inner))
    return _checked("take", y, ids, n, bad)


def take_gradient(g: NDArray, ids: NDArray, axis: int, size: int) -> NDArray:
    """dx[i, n, k] = the sum of g[i, j, k] over the j where ids is n, of `size` along the axis."""
    if size > EXACT:
        return through(g).take_gradient(g, ids, axis, size)
    outer, inner = g.shape[:axis], g.shape[axis + ids.ndim :]
    ids, dx = _whole(ids), NDArray.make((*outer, size, *inner), device=g.device)
    bad = kernels.take_gradient(g.compact()._handle, ids._handle, dx._handle, prod(outer), size, ids.size, prod(inner))
    return _checked("take_gradient", dx, ids, size, bad)


def gather(x: NDArray, index: NDArray, axis: int) -> NDArray:
    """y[i, j, k] = x[i, index[i, j, k], k]; index in -n..n-1. Raises IndexRangeError for any other."""
    if x.shape[axis] > EXACT:
        return through(x).gather(x, index, axis)
    index, y = _whole(index), NDArray.make(index.shape, device=x.device)
    n = x.shape[axis]
    bad = kernels.gather(x.compact()._handle, index._handle, y._handle, *_sizes(index, axis, n))
    return _checked("gather", y, index, n, bad)


def gather_gradient(g: NDArray, index: NDArray, axis: int, size: int) -> NDArray:
    """dx[i, n, k] = the sum of g[i, j, k] over the j with index[i, j, k] = n, of `size` along the axis."""
    if size > EXACT:
        return through(g).gather_gradient(g, index, axis, size)
    index, dx = _whole(index), NDArray.make((*g.shape[:axis], size, *g.shape[axis + 1 :]), device=g.device)
    bad = kernels.gather_gradient(g.compact()._handle, index._handle, dx._handle, *_sizes(index, axis, size))
    return _checked("gather_gradient", dx, index, size, bad)


def _whole(ids: NDArray) -> NDArray:
    """ids as the kernels read them."""
    return ids.astype("float32").compact()


def _sizes(index: NDArray, axis: int, n: int) -> tuple[int, int, int, int]:
    """How many elements before the axis, of the table along it, of the index along it, and behind it."""
    return prod(index.shape[:axis]), n, index.shape[axis], prod(index.shape[axis + 1 :])


def _checked(where: str, y: NDArray, ids: NDArray, size: int, bad: int) -> NDArray:
    """The result, or the error about the index that the kernel found bad."""
    if bad >= 0:
        raise no_place(where, size, float(ids.numpy().reshape(-1)[bad]), bad)
    return y
