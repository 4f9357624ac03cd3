"""Pointwise maps of NDArrays on cpu().

Results keep the layout in memory of their (first) operand: NHWC memory seen as NCHW stays so, and nothing is copied.
"""

from __future__ import annotations

from needle.backend_ndarray.layout import is_dense
from needle.backend_ndarray.ndarray import NDArray
from needle.errors import ShapeError


def _whole(x: NDArray) -> bool:
    """Whether x is all of its memory, in some order."""
    return x._compact or (x._offset == 0 and is_dense(x._shape, x._strides) and x._handle.size == x.size)


def _dense_like(x: NDArray) -> NDArray:
    """An uninitialised array with the shape of x and, where x is dense, its layout in memory."""
    out = NDArray.make(x._shape, device=x._device)
    if is_dense(x._shape, x._strides):
        out._strides, out._compact = x._strides, None
    return out


def map1(op: str, x: NDArray, *numbers: float) -> NDArray:
    """The compiled map `op` of one operand and its numbers."""
    if _whole(x):
        out = x._like()
        getattr(out._device.mod, "ewise_" + op)(x._handle, *numbers, out._handle)
    else:
        out = _dense_like(x)
        strided = getattr(out._device.mod, "strided_" + op)
        strided(x._shape, x._handle, x._strides, x._offset, *numbers, out._handle, out._strides)
    return out


def map_scalar(op: str, x: NDArray, s: float) -> NDArray:
    """The compiled map `op` of an operand and a number."""
    if _whole(x):
        out = x._like()
        getattr(out._device.mod, "scalar_" + op)(x._handle, s, out._handle)
    else:
        out = _dense_like(x)
        strided = getattr(out._device.mod, "strided_scalar_" + op)
        strided(x._shape, x._handle, x._strides, x._offset, s, out._handle, out._strides)
    return out


def map2(op: str, a: NDArray, b: NDArray, *numbers: float) -> NDArray:
    """The compiled map `op` of two operands of one shape and its numbers."""
    if a._shape != b._shape:
        raise ShapeError(f"[{op}] shapes must be equal, got {a._shape} and {b._shape}")
    if a._strides == b._strides and _whole(a) and _whole(b):
        out = a._like()
        getattr(out._device.mod, "ewise_" + op)(a._handle, b._handle, *numbers, out._handle)
    else:
        out = _dense_like(a if is_dense(a._shape, a._strides) else b)
        strided = getattr(out._device.mod, "strided_" + op)
        first, second = (a._handle, a._strides, a._offset), (b._handle, b._strides, b._offset)
        strided(a._shape, *first, *second, *numbers, out._handle, out._strides)
    return out


def map3(op: str, a: NDArray, b: NDArray, c: NDArray) -> NDArray:
    """The compiled map `op` of three operands of one shape."""
    if not a._shape == b._shape == c._shape:
        raise ShapeError(f"[{op}] shapes must be equal, got {a._shape}, {b._shape} and {c._shape}")
    if a._strides == b._strides == c._strides and _whole(a) and _whole(b) and _whole(c):
        out = a._like()
        getattr(out._device.mod, "ewise_" + op)(a._handle, b._handle, c._handle, out._handle)
    else:
        out = _dense_like(next((x for x in (b, c, a) if is_dense(x._shape, x._strides)), a))
        strided = getattr(out._device.mod, "strided_" + op)
        given = [part for x in (a, b, c) for part in (x._handle, x._strides, x._offset)]
        strided(a._shape, *given, out._handle, out._strides)
    return out


def add(a: NDArray, b: NDArray) -> NDArray:
    """y = a + b"""
    return map2("add", a, b)


def sub(a: NDArray, b: NDArray) -> NDArray:
    """y = a - b"""
    return map2("sub", a, b)


def multiply(a: NDArray, b: NDArray) -> NDArray:
    """y = a b"""
    return map2("mul", a, b)


def divide(a: NDArray, b: NDArray) -> NDArray:
    """y = a / b"""
    return map2("div", a, b)


def maximum(a: NDArray, b: NDArray) -> NDArray:
    """y = max(a, b); NaN where either is NaN"""
    return map2("maximum", a, b)


def power(a: NDArray, b: NDArray) -> NDArray:
    """y = a^b"""
    return map2("power", a, b)


def add_scalar(x: NDArray, s: float) -> NDArray:
    """y = x + s"""
    return map_scalar("add", x, s)


def multiply_scalar(x: NDArray, s: float) -> NDArray:
    """y = x s"""
    return map_scalar("mul", x, s)


def divide_scalar(x: NDArray, s: float) -> NDArray:
    """y = x / s"""
    return map_scalar("div", x, s)


def power_scalar(x: NDArray, s: float) -> NDArray:
    """y = x^s"""
    return map_scalar("power", x, s)


def negate(x: NDArray) -> NDArray:
    """y = -x"""
    return map1("neg", x)


def exp(x: NDArray) -> NDArray:
    """y = e^x"""
    return map1("exp", x)


def log(x: NDArray) -> NDArray:
    """y = ln x"""
    return map1("log", x)


def tanh(x: NDArray) -> NDArray:
    """y = tanh x"""
    return map1("tanh", x)


def sigmoid(x: NDArray) -> NDArray:
    """y = 1 / (1 + e^-x)"""
    return map1("sigmoid", x)


def erf(x: NDArray) -> NDArray:
    """y = 2/sqrt(pi) integral of e^-t^2 over [0, x]"""
    return map1("erf", x)


def relu(x: NDArray) -> NDArray:
    """y = max(x, 0)"""
    return map1("relu", x)


def relu_gradient(g: NDArray, x: NDArray) -> NDArray:
    """dx = g where x > 0, else 0"""
    return map2("relu_gradient", g, x)


def tanh_gradient(g: NDArray, y: NDArray) -> NDArray:
    """dx = g (1 - y^2), y = tanh x"""
    return map2("tanh_gradient", g, y)


def sigmoid_gradient(g: NDArray, y: NDArray) -> NDArray:
    """dx = g y (1 - y), y = sigmoid x"""
    return map2("sigmoid_gradient", g, y)
