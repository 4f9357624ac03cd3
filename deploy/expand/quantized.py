"""Quantised tensors: scales and zero points as arithmetic; exact products of bytes as sums of float32 products.

A product of two bytes without their zero points is at most 255^2, so that up to 258 of them have a sum that float32
holds; longer sums are split, and their parts added as int32.
"""

from __future__ import annotations

from math import prod
from typing import Any

from needle import ops

from ..ir import Node
from ..onnx.dtypes import limits
from ..onnx.make import Unsupported
from ..onnx.ops import CastTo, ConvInteger, DequantizeLinear, MatMulInteger, QuantizeLinear, Requantize
from .arithmetic import add, apply, broadcast, cast, clip, const, div, mul, permute, reshape, rounded, slices, sub

EXACT = 258  # products of two bytes whose sum float32 holds
BYTES = ("int8", "uint8")
SMALL = ("float8", "float4")


def _along(value: Node, x: Node, axis: int, block: int) -> Node:
    """A scale or zero point, of all, of each place along an axis or of each block, so that it broadcasts to x."""
    if prod(value.shape) == 1 and not block:
        return reshape(value, ())
    rank = len(x.shape)
    axis = axis % rank
    if not block:
        return reshape(value, [x.shape[i] if i == axis else 1 for i in range(rank)])
    wide = reshape(value, (*value.shape[: axis + 1], 1, *value.shape[axis + 1 :]))
    wide = broadcast(wide, (*value.shape[: axis + 1], block, *value.shape[axis + 1 :]))
    wide = reshape(wide, (*value.shape[:axis], value.shape[axis] * block, *value.shape[axis + 1 :]))
    return wide if wide.shape[axis] == x.shape[axis] else slices(wide, axis, 0, x.shape[axis])


def _quantize(node: Node) -> Node:
    op, (x, scale, *zero) = node.op, node.inputs
    kind = "float64" if x.type.dtype == "float64" else "float32"
    if op.precision not in ("float32", kind):  # rounded there: as two casts say
        x, scale = cast(x, op.precision), cast(scale, op.precision)
    y = div(cast(x, kind), cast(_along(scale, x, op.axis, op.block), kind))
    if op.precision not in ("float32", kind):
        y = cast(cast(y, op.precision), kind)
    zeros = [cast(_along(z, x, op.axis, op.block), kind) for z in zero]
    if op.dtype.startswith(SMALL):
        y = add(y, zeros[0]) if zeros else y
        return apply(CastTo(op.dtype, op.saturate), y)
    return _saturated(add(rounded(y), zeros[0]) if zeros else rounded(y), op.dtype)


def _saturated(y: Node, dtype: str) -> Node:
    """Whole floats as integers of a dtype, kept within it; NaN as 0."""
    low, high = (float(v) for v in limits(dtype))
    y = clip(y, low, high)
    return cast(apply(ops.Where(), apply(ops.IsNaN(), y), const(0.0, y.type.dtype), y), dtype)


def _dequantize(node: Node) -> Node:
    op, (x, scale, *zero) = node.op, node.inputs
    y = cast(x, "float32")
    if zero:
        y = sub(y, cast(_along(zero[0], x, op.axis, op.block), "float32"))
    return cast(mul(y, cast(_along(scale, x, op.axis, op.block), "float32")), op.dtype)


def _matmul(node: Node) -> Node:
    """MatMulInteger, in slices of the inner axis."""
    a, b, *zeros = node.inputs
    _bytes(a, b)
    first, second = cast(a, "float32"), cast(b, "float32")
    if zeros:
        zero = cast(zeros[0], "float32")
        first = sub(first, reshape(zero, (*zero.shape, 1)) if len(zero.shape) == 1 and zero.shape[0] != 1 else zero)
    if len(zeros) > 1:
        second = sub(second, cast(zeros[1], "float32"))
    depth, sums = a.shape[-1], None
    axis = max(len(b.shape) - 2, 0)
    for start in range(0, depth, EXACT):
        stop = min(depth, start + EXACT)
        whole = stop - start == depth
        left = first if whole else slices(first, len(a.shape) - 1, start, stop)
        right = second if whole else slices(second, axis, start, stop)
        part = cast(apply(ops.MatMul(), left, right), "int32")
        sums = part if sums is None else add(sums, part)
    if sums is None:
        raise Unsupported("nothing to sum")
    return sums


def _bytes(*given: Node) -> None:
    if any(x.type.dtype not in BYTES for x in given):
        raise Unsupported("products of other integers than bytes")


def _conv(node: Node) -> Node:
    """ConvInteger, in slices of the channels."""
    op, (x, w, *zeros) = node.op, node.inputs
    _bytes(x, w)
    rank = len(x.shape) - 2
    first, second = cast(x, "float32"), cast(w, "float32")
    first = sub(first, cast(zeros[0], "float32")) if zeros else first
    if len(zeros) > 1:
        zero = cast(zeros[1], "float32")
        second = sub(second, reshape(zero, (prod(zero.shape), *(1,) * (rank + 1))) if prod(zero.shape) > 1 else zero)
    first, second = permute(first, (0, *range(2, 2 + rank), 1)), permute(second, (*range(2, 2 + rank), 1, 0))
    depth, taps, sums = w.shape[1], prod(w.shape[2:]), None
    step = max(1, EXACT // taps)
    if taps > EXACT or (op.groups > 1 and depth > step):
        raise Unsupported("windows whose sums float32 does not hold")
    conv = ops.ConvND(tuple(op.stride), tuple(op.padding), tuple(op.dilation), op.groups)
    for start in range(0, depth, step):
        stop = min(depth, start + step)
        whole = stop - start == depth
        left = first if whole else slices(first, rank + 1, start, stop)
        right = second if whole else slices(second, rank, start, stop)
        part = cast(apply(conv, left, right), "int32")
        sums = part if sums is None else add(sums, part)
    assert sums is not None
    return permute(sums, (0, rank + 1, *range(1, rank + 1)))


def _requantize(node: Node) -> Node:
    op, (x, scale, zero) = node.op, node.inputs
    y = rounded(mul(cast(x, "float64"), cast(_along(scale, x, op.axis, 0), "float64")))
    y = add(y, cast(_along(zero, x, op.axis, 0), "float64"))
    return apply(CastTo(op.dtype, True), y) if op.dtype.startswith(SMALL) else _saturated(y, op.dtype)


TABLE: dict[type, Any] = {
    QuantizeLinear: _quantize, DequantizeLinear: _dequantize, MatMulInteger: _matmul, ConvInteger: _conv,
    Requantize: _requantize,
}  # fmt: skip
