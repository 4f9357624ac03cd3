"""Pooling and resampling of images on NDArrays, by the compiled kernels; see the twins in `plain`."""

from __future__ import annotations

from needle.errors import ShapeError

from .. import ndarray_backend_cpu as kernels
from ..bands import Bands
from ..ndarray import NDArray


def _map(where: str, x: NDArray, height: int, width: int) -> NDArray:
    """x (N, height, width, C), its channels side by side: copied only if they are not."""
    if x.ndim != 4 or x.shape[1:3] != (height, width):
        raise ShapeError(f"[{where}] needs a map (N, {height}, {width}, C), got {x.shape}")
    return x if x._strides[3] == 1 else x.compact()


def resample(x: NDArray, rows: Bands, columns: Bands) -> NDArray:
    """y[n,i,j,c] = sum_a rows[i,a] sum_b columns[j,b] x[n,a,b,c], for x (N, H, W, C)."""
    x = _map("resample", x, rows.size, columns.size)
    out = NDArray.make((x.shape[0], rows.outputs, columns.outputs, x.shape[3]), device=x.device)
    kernels.resample(x._handle, x._shape, x._strides, x._offset, *rows.arrays, *columns.arrays, out._handle)
    return out


def max_pool(x: NDArray, u: NDArray, rows: Bands, columns: Bands) -> NDArray:
    """y[n,i,j,c] = u where x is largest (first) in the window of (i, j), for x and u (N, H, W, C); max x for u = x."""
    x, u = _map("max_pool", x, rows.size, columns.size), _map("max_pool", u, rows.size, columns.size)
    if x.shape != u.shape:
        raise ShapeError(f"[max_pool] needs maps of one shape, got {x.shape} and {u.shape}")
    out = NDArray.make((x.shape[0], rows.outputs, columns.outputs, x.shape[3]), device=x.device)
    given = (x._handle, x._shape, x._strides, x._offset, u._handle, u._strides, u._offset)
    kernels.max_pool(*given, *rows.arrays, *columns.arrays, out._handle)
    return out


def max_pool_gradient(g: NDArray, x: NDArray, rows: Bands, columns: Bands) -> NDArray:
    """dx: each g[n,i,j,c] at the place where x is largest (first) in the window of (i, j), summed; x (N, H, W, C)."""
    g = _map("max_pool_gradient", g, rows.outputs, columns.outputs)
    x = _map("max_pool_gradient", x, rows.size, columns.size)
    if (g.shape[0], g.shape[3]) != (x.shape[0], x.shape[3]):
        raise ShapeError(f"[max_pool_gradient] g and x must agree in images and channels, got {g.shape}, {x.shape}")
    out = NDArray.make(x.shape, device=x.device)
    given = (g._handle, g._shape, g._strides, g._offset, x._handle, x._strides, x._offset)
    kernels.max_pool_gradient(*given, *rows.arrays, *columns.arrays, out._handle)
    return out
