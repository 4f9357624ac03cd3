"""Pointwise maps and reductions of NDArrays on cpu().

Results keep the layout in memory of their (first) operand: NHWC memory seen as NCHW stays so, and nothing is copied.
"""

from __future__ import annotations

from typing import Any

from needle.backend_ndarray.arithmetic import Axes, reduce_dense
from needle.backend_ndarray.layout import is_dense
from needle.backend_ndarray.ndarray import NDArray
from needle.errors import ShapeError


def _whole(x: NDArray) -> bool:
    """Whether x is all of its memory, in some order."""
    return x._compact or (x._offset == 0 and is_dense(x._shape, x._strides) and x._handle.size == x.size)


def _like(x: NDArray) -> NDArray:
    """An uninitialised array with the shape of x and, where x is dense, its layout in memory."""
    out = NDArray.make(x._shape, device=x._device)
    if not x._compact and is_dense(x._shape, x._strides):
        out._strides, out._compact = x._strides, None
    return out


def _map1(op: str, x: NDArray) -> NDArray:
    out, mod = _like(x), x._device.mod
    if _whole(x):
        getattr(mod, "ewise_" + op)(x._handle, out._handle)
    else:
        getattr(mod, "strided_" + op)(x._shape, x._handle, x._strides, x._offset, out._handle, out._strides)
    return out


def _map_scalar(op: str, x: NDArray, s: float) -> NDArray:
    out, mod = _like(x), x._device.mod
    if _whole(x):
        getattr(mod, "scalar_" + op)(x._handle, s, out._handle)
    else:
        strided = getattr(mod, "strided_scalar_" + op)
        strided(x._shape, x._handle, x._strides, x._offset, s, out._handle, out._strides)
    return out


def _map2(op: str, a: NDArray, b: NDArray) -> NDArray:
    if a._shape != b._shape:
        raise ShapeError(f"[{op}] shapes must be equal, got {a._shape} and {b._shape}")
    mod = a._device.mod
    if a._strides == b._strides and _whole(a) and _whole(b):
        out = _like(a)
        getattr(mod, "ewise_" + op)(a._handle, b._handle, out._handle)
    else:
        out = _like(a if is_dense(a._shape, a._strides) else b)
        strided = getattr(mod, "strided_" + op)
        first, second = (a._handle, a._strides, a._offset), (b._handle, b._strides, b._offset)
        strided(a._shape, *first, *second, out._handle, out._strides)
    return out


def add(a: NDArray, b: NDArray) -> NDArray:
    """y = a + b"""
    return _map2("add", a, b)


def sub(a: NDArray, b: NDArray) -> NDArray:
    """y = a - b"""
    return _map2("sub", a, b)


def multiply(a: NDArray, b: NDArray) -> NDArray:
    """y = a b"""
    return _map2("mul", a, b)


def divide(a: NDArray, b: NDArray) -> NDArray:
    """y = a / b"""
    return _map2("div", a, b)


def maximum(a: NDArray, b: NDArray) -> NDArray:
    """y = max(a, b); NaN where either is NaN"""
    return _map2("maximum", a, b)


def power(a: NDArray, b: NDArray) -> NDArray:
    """y = a^b"""
    return _map2("power", a, b)


def add_scalar(x: NDArray, s: float) -> NDArray:
    """y = x + s"""
    return _map_scalar("add", x, s)


def multiply_scalar(x: NDArray, s: float) -> NDArray:
    """y = x s"""
    return _map_scalar("mul", x, s)


def divide_scalar(x: NDArray, s: float) -> NDArray:
    """y = x / s"""
    return _map_scalar("div", x, s)


def power_scalar(x: NDArray, s: float) -> NDArray:
    """y = x^s"""
    return _map_scalar("power", x, s)


def negate(x: NDArray) -> NDArray:
    """y = -x"""
    return _map1("neg", x)


def exp(x: NDArray) -> NDArray:
    """y = e^x"""
    return _map1("exp", x)


def log(x: NDArray) -> NDArray:
    """y = ln x"""
    return _map1("log", x)


def tanh(x: NDArray) -> NDArray:
    """y = tanh x"""
    return _map1("tanh", x)


def sigmoid(x: NDArray) -> NDArray:
    """y = 1 / (1 + e^-x)"""
    return _map1("sigmoid", x)


def erf(x: NDArray) -> NDArray:
    """y = 2/sqrt(pi) integral of e^-t^2 over [0, x]"""
    return _map1("erf", x)


def relu(x: NDArray) -> NDArray:
    """y = max(x, 0)"""
    return _map1("relu", x)


def relu_gradient(g: NDArray, x: NDArray) -> NDArray:
    """dx = g where x > 0, else 0"""
    return _map2("relu_gradient", g, x)


def tanh_gradient(g: NDArray, y: NDArray) -> NDArray:
    """dx = g (1 - y^2), y = tanh x"""
    return _map2("tanh_gradient", g, y)


def sigmoid_gradient(g: NDArray, y: NDArray) -> NDArray:
    """dx = g y (1 - y), y = sigmoid x"""
    return _map2("sigmoid_gradient", g, y)


def _reduce(name: str, x: NDArray, axes: Axes, keepdims: bool) -> NDArray:
    dense: Any = x if is_dense(x._shape, x._strides) else x.compact()
    return reduce_dense(dense, getattr(x._device.mod, name + "_axis"), axes, keepdims)


def sum(x: NDArray, axes: Axes = None, keepdims: bool = False) -> NDArray:
    """y = the sum of x over the axes; over all of them the shape is (1,), or all ones with keepdims"""
    return _reduce("reduce_sum", x, axes, keepdims)


def max(x: NDArray, axes: Axes = None, keepdims: bool = False) -> NDArray:
    """y = the maximum of x over the axes; over all of them the shape is (1,), or all ones with keepdims"""
    if 0 in (x._shape[axis] for axis in x._axes("max", axes)):
        raise ShapeError(f"[max] needs at least one element to reduce, got {x._shape} over axes {axes}")
    return _reduce("reduce_max", x, axes, keepdims)
