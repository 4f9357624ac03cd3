"""Operators of ONNX Runtime's own domain that its quantising tools write: int8 in, the operator in float32, int8 out.

Their definitions: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from needle import ops

from ...ir import Node
from .. import make
from ..at import At
from ..make import add, apply, axis_of, cast, concat, mul, permute
from ..ops import DequantizeLinear, MatMulInteger, QuantizeLinear
from ..row import Row
from . import images, pool, reduce
from .products import first_channels, last_channels

AXIS = 1  # of scales of their own, which are those of channels


def _floats(x: Node, scale: Node, zero: Node | None) -> Node:
    return apply(DequantizeLinear(AXIS, 0, "float32"), x, scale, *([] if zero is None else [zero]))


def _bytes(y: Node, scale: Node, zero: Node | None, dtype: str) -> Node:
    op = QuantizeLinear(AXIS, 0, dtype if zero is None else zero.type.dtype)
    return apply(op, y, scale, *([] if zero is None else [zero]))


def _of_one(compute: Callable[[At, Node], Node]) -> Any:
    """An operator of x, its scale and zero point, and those of y."""

    def read(at: At, x: Node, scale: Node, zero: Node | None, y_scale: Node, y_zero: Node | None = None) -> Node:
        return _bytes(compute(at, _floats(x, scale, zero)), y_scale, y_zero, x.type.dtype)

    return read


def _of_two(compute: Callable[[Node, Node], Node]) -> Any:
    """An operator of a and b, each with scale and zero point."""

    def read(at: At, a: Node, a_scale: Node, a_zero: Node | None, b: Node, b_scale: Node, b_zero: Node | None,
             y_scale: Node, y_zero: Node | None = None) -> Node:  # fmt: skip
        y = compute(_floats(a, a_scale, a_zero), _floats(b, b_scale, b_zero))
        return _bytes(y, y_scale, y_zero, a.type.dtype)

    return read


def _global_mean(at: At, x: Node) -> Node:
    first = 1 if at.get("channels_last", 0) else 2
    return make.mean(x, tuple(range(first, len(x.shape) - (first == 1))), True)


def _mean(at: At, x: Node) -> Node:
    if not at.get("channels_last", 0):
        return pool.average_pool(at, x)
    return last_channels(pool.average_pool(at, first_channels(x)))


def _softmax(at: At, x: Node) -> Node:
    return reduce.softmax(ops.Softmax(), x, at.get("axis", -1), at.get("opset", 13) >= 13)


def _concat(at: At, y_scale: Node, y_zero: Node, *given: Node) -> Node:
    parts = [_floats(*given[i : i + 3]) for i in range(0, len(given), 3)]
    return _bytes(concat(parts, axis_of(at.get("axis"), len(parts[0].shape))), y_scale, y_zero, given[0].type.dtype)


def _gemm(at: At, a: Node, a_scale: Node, a_zero: Node, b: Node, b_scale: Node, b_zero: Node, c: Node | None = None,
          y_scale: Node | None = None, y_zero: Node | None = None) -> Node:  # fmt: skip
    """alpha a b + c, whose sums are exact; c is of int32, in units of the product of the scales."""
    a = permute(a, (1, 0)) if at.get("transA", 0) else a
    b = permute(b, (1, 0)) if at.get("transB", 0) else b
    sums = apply(MatMulInteger(), a, b, a_zero, b_zero)
    sums = sums if c is None else add(sums, make.broadcast(c, sums.shape))
    scales = mul(cast(a_scale, "float32"), cast(b_scale, "float32"))
    y = make.scale(mul(cast(sums, "float32"), scales), at.get("alpha", 1.0))
    return y if y_scale is None else _bytes(y, y_scale, y_zero, a.type.dtype)


def _to_float(at: At, a: Node, b: Node, a_scale: Node, b_scale: Node, a_zero: Node | None = None,
              b_zero: Node | None = None, bias: Node | None = None) -> Node:  # fmt: skip
    """MatMulIntegerToFloat: exact sums, as floats."""
    sums = apply(MatMulInteger(), a, b, *images.present(a_zero, b_zero))
    y = mul(cast(sums, "float32"), mul(a_scale, b_scale))
    return y if bias is None else add(y, bias)


def _sigmoid(at: At, x: Node) -> Node:
    return apply(ops.Sigmoid(), x)


def _leaky(at: At, x: Node) -> Node:
    return apply(ops.LeakyReLU(at.get("alpha", 0.01)), x)


def _reduced(at: At, x: Node) -> Node:
    axes = tuple(axis_of(a, len(x.shape)) for a in at.get("axes") or range(len(x.shape)))
    return make.mean(x, axes, bool(at.get("keepdims", 1)))


DOMAIN = "com.microsoft."
ROWS: dict[str, Row] = {
    DOMAIN + "QuantizeLinear": Row(images.ROWS["QuantizeLinear"].read, in_float32=False),
    DOMAIN + "DequantizeLinear": Row(images.ROWS["DequantizeLinear"].read, in_float32=False),
    DOMAIN + "QLinearAdd": Row(_of_two(add)),
    DOMAIN + "QLinearMul": Row(_of_two(mul)),
    DOMAIN + "QLinearConcat": Row(_concat),
    DOMAIN + "QLinearGlobalAveragePool": Row(_of_one(_global_mean)),
    DOMAIN + "QLinearAveragePool": Row(_of_one(_mean)),
    DOMAIN + "QLinearReduceMean": Row(_of_one(_reduced)),
    DOMAIN + "QLinearSigmoid": Row(_of_one(_sigmoid)),
    DOMAIN + "QLinearLeakyRelu": Row(_of_one(_leaky)),
    DOMAIN + "QLinearSoftmax": Row(_of_one(_softmax)),
    DOMAIN + "QGemm": Row(_gemm, in_float32=False),
    DOMAIN + "MatMulIntegerToFloat": Row(_to_float),
}  # fmt: skip
