"""Elementwise operators: arithmetic, elementary functions, activations, comparisons, bits, casts."""

from __future__ import annotations

import math
from functools import reduce
from typing import Any

from needle import ops

from ...ir import Node
from .. import make
from ..at import At
from ..dtypes import NAMES, SMALL_FLOATS, is_float
from ..make import Unsupported, add, apply, cast, div, like, mul, scale, sub, where
from ..ops import BitCast, BitShift, Bitwise, BitwiseNot, CastTo, Divide, Modulo, PowerOf
from ..row import Row, same, written


def _divide(at: At, a: Node, b: Node) -> Node:
    return div(a, b) if is_float(a.type.dtype) else apply(Divide(), a, b)


def _modulo(at: At, a: Node, b: Node) -> Node:
    return apply(Modulo(bool(at.get("fmod", 0))), a, b)


def _power(at: At, a: Node, b: Node) -> Node:
    if make.known(b) and b.op.array.size == 1 and is_float(a.type.dtype):
        wide = len(b.shape) <= len(a.shape)
        number = float(b.op.array.reshape(-1)[0])
        if wide:
            return apply(ops.Sqrt(), a) if number == 0.5 else apply(ops.PowerScalar(number), a)
    both = a.type.dtype == b.type.dtype and is_float(a.type.dtype)
    return apply(ops.EWisePow() if both else PowerOf(), a, b)


def _fold(op: Any) -> Any:
    def read(at: At, *inputs: Node) -> Node:
        return reduce(lambda a, b: apply(op, a, b), inputs)

    return read


def _mean(at: At, *inputs: Node) -> Node:
    return scale(reduce(add, inputs), 1 / len(inputs))


def _clip(at: At, x: Node, low: Node | None = None, high: Node | None = None) -> Node:
    bounds = [low, high]
    for i, name in enumerate(("min", "max")):
        if name in at.attributes:
            bounds[i] = like(x, at.get(name))
    numbers = [b is None or make.known(b) for b in bounds]
    if all(numbers) and is_float(x.type.dtype):
        values = [None if b is None else float(b.op.array.reshape(-1)[0]) for b in bounds]
        return x if values == [None, None] else apply(ops.Clip(*values), x)
    if bounds[0] is not None:
        x = apply(ops.Maximum(), x, bounds[0])
    return x if bounds[1] is None else apply(ops.Minimum(), x, bounds[1])


def _relu(at: At, x: Node) -> Node:
    return apply(ops.ReLU(), x) if is_float(x.type.dtype) else apply(ops.Maximum(), x, like(x, 0))


def _elu(at: At, x: Node) -> Node:
    return where(positive(x), x, scale(_expm1(x), at.get("alpha", 1.0)))


def _expm1(x: Node) -> Node:
    """e^x - 1 for x <= 0; what is larger is not used"""
    low = apply(ops.Minimum(), x, like(x, 0))
    return apply(ops.AddScalar(-1.0), apply(ops.Exp(), low))


def positive(x: Node) -> Node:
    """x > 0"""
    return apply(ops.Greater(), x, like(x, 0))


def _celu(at: At, x: Node) -> Node:
    alpha = at.get("alpha", 1.0)
    return where(positive(x), x, scale(_expm1(scale(x, 1 / alpha)), alpha))


def _selu(at: At, x: Node) -> Node:
    alpha, gamma = at.get("alpha", 1.67326319217681884765625), at.get("gamma", 1.05070102214813232421875)
    return scale(where(positive(x), x, scale(_expm1(x), alpha)), gamma)


def _hard_sigmoid(at: At, x: Node) -> Node:
    alpha, beta = at.get("alpha", 0.2), at.get("beta", 0.5)
    return apply(ops.Clip(0.0, 1.0), apply(ops.AddScalar(beta), scale(x, alpha)))


def _hard_swish(at: At, x: Node) -> Node:
    return mul(x, apply(ops.Clip(0.0, 1.0), apply(ops.AddScalar(0.5), scale(x, 1 / 6))))


def _prelu(at: At, x: Node, slope: Node) -> Node:
    if at.opset < 7 and len(slope.shape) == 1 and len(x.shape) > 1:  # one for each channel
        slope = make.reshape(slope, (*slope.shape, *(1,) * (len(x.shape) - 2)))
    if not is_float(x.type.dtype):
        return where(apply(ops.Less(), x, like(x, 0)), mul(x, slope), x)
    return where(positive(x), x, mul(x, slope))


def _gelu(at: At, x: Node) -> Node:
    return apply(ops.GELU(at.get("approximate", "none") == "tanh"), x)


def _swish(at: At, x: Node) -> Node:
    alpha = at.get("alpha", 1.0)
    return apply(ops.SiLU(), x) if alpha == 1 else mul(x, apply(ops.Sigmoid(), scale(x, alpha)))


def _shrink(at: At, x: Node) -> Node:
    bias, edge = at.get("bias", 0.0), at.get("lambd", 0.5)
    if not is_float(x.type.dtype):
        raise Unsupported("of whole numbers")
    low, high = apply(ops.Less(), x, like(x, -edge)), apply(ops.Greater(), x, like(x, edge))
    up, down = apply(ops.AddScalar(bias), x), apply(ops.AddScalar(-bias), x)
    return where(low, up, where(high, down, like(x, 0)))


def _thresholded(at: At, x: Node) -> Node:
    return where(apply(ops.Greater(), x, like(x, at.get("alpha", 1.0))), x, like(x, 0))


def _softsign(at: At, x: Node) -> Node:
    return div(x, apply(ops.AddScalar(1.0), apply(ops.Abs(), x)))


def _mish(at: At, x: Node) -> Node:
    return mul(x, apply(ops.Tanh(), apply(ops.Softplus(), x)))


def _logical(name: str) -> Any:
    return lambda at, a, b: apply(Bitwise(name), a, b)


def _cast(at: At, x: Node) -> Node:
    to = at.get("to")
    if to not in NAMES:
        raise Unsupported(f"element type {to} is unknown")
    return to_dtype(at, x, NAMES[to])


def to_dtype(at: At, x: Node, dtype: str) -> Node:
    """x in another dtype, by the attributes of a cast."""
    if dtype in SMALL_FLOATS:
        return apply(CastTo(dtype, bool(at.get("saturate", 1)), at.get("round_mode", "")), x)
    return cast(x, dtype)


def _shift(at: At, a: Node, b: Node) -> Node:
    return apply(BitShift(at.get("direction") == "LEFT"), a, b)


def _is_inf(at: At, x: Node) -> Node:
    return apply(ops.IsInf(bool(at.get("detect_positive", 1)), bool(at.get("detect_negative", 1))), x)


def _compare(op: Any, strings: bool = False) -> Any:
    def read(at: At, a: Node, b: Node) -> Node:
        return apply(op, a, b)

    return read


def _negate(at: At, x: Node) -> Node:
    return apply(ops.Negate(), x)


def _scalar(operator: str, opset: int = 1) -> Any:
    """Writers of ops with one number: the operator with a constant."""

    def write(w: Any, node: Node, x: str) -> Any:
        return w.add(operator, (x, w.number(node.op.scalar, node.inputs[0].type.dtype)))

    return write


def _write_clip(w: Any, node: Node, x: str) -> Any:
    low, high = (None if b is None or math.isinf(b) else b for b in (node.op.low, node.op.high))
    dtype = node.inputs[0].type.dtype
    return w.add("Clip", (x, *("" if b is None else w.number(b, dtype) for b in (low, high))))


def _write_gelu(w: Any, node: Node, x: str) -> Any:
    if w.opset >= 20:
        return w.add("Gelu", (x,), approximate="tanh" if node.op.approximate else "none")

    def number(value: float) -> str:
        return str(w.number(value, node.type.dtype))

    if node.op.approximate:
        cube = w.add("Mul", (w.add("Mul", (x, x)), x))
        inner = w.add("Add", (x, w.add("Mul", (cube, number(0.044715)))))
        share = w.add("Tanh", (w.add("Mul", (inner, number(math.sqrt(2 / math.pi)))),))
    else:
        share = w.add("Erf", (w.add("Mul", (x, number(math.sqrt(0.5)))),))
    return w.add("Mul", (x, w.add("Mul", (w.add("Add", (share, number(1.0))), number(0.5)))))


def _write_silu(w: Any, node: Node, x: str) -> Any:
    return w.add("Mul", (x, w.add("Sigmoid", (x,))))


def _write_not_equal(w: Any, node: Node, a: str, b: str) -> Any:
    return w.add("Not", (w.add("Equal", (a, b)),))


def _write_square(w: Any, node: Node, a: str, b: str) -> Any:
    d = w.add("Sub", (a, b))
    return w.add("Mul", (d, d))


def _write_share(w: Any, node: Node, a: str, b: str) -> Any:
    sign, dtype = w.add("Sign", (w.add("Sub", (a, b)),)), node.type.dtype
    return w.add("Mul", (w.add("Add", (sign, w.number(1.0, dtype))), w.number(0.5, dtype)))


ROWS: dict[str, Row] = {
    "Add": Row(lambda at, a, b: add(a, b), {ops.EWiseAdd: written("Add"), ops.AddScalar: _scalar("Add")}),
    "Sub": Row(lambda at, a, b: sub(a, b)),
    "Mul": Row(lambda at, a, b: mul(a, b), {ops.EWiseMul: written("Mul"), ops.MulScalar: _scalar("Mul"),
                                            ops.SquaredDifference: _write_square}),
    "Div": Row(_divide, {ops.EWiseDiv: written("Div"), ops.DivScalar: _scalar("Div")}),
    "Mod": Row(_modulo),
    "Pow": Row(_power, {ops.EWisePow: written("Pow"), ops.PowerScalar: _scalar("Pow")}),
    "Neg": Row(_negate, {ops.Negate: written("Neg")}),
    "Abs": same("Abs", ops.Abs()),
    "Sign": same("Sign", ops.Sign()),
    "Exp": same("Exp", ops.Exp()),
    "Log": same("Log", ops.Log()),
    "Sqrt": same("Sqrt", ops.Sqrt()),
    "Erf": same("Erf", ops.Erf()),
    "Reciprocal": Row(lambda at, x: div(like(x, 1), x)),
    "Sin": same("Sin", ops.Sin()), "Cos": same("Cos", ops.Cos()), "Tan": same("Tan", ops.Tan()),
    "Asin": same("Asin", ops.Asin()), "Acos": same("Acos", ops.Acos()), "Atan": same("Atan", ops.Atan()),
    "Sinh": same("Sinh", ops.Sinh()), "Cosh": same("Cosh", ops.Cosh()), "Asinh": same("Asinh", ops.Asinh()),
    "Acosh": same("Acosh", ops.Acosh()), "Atanh": same("Atanh", ops.Atanh()),
    "Floor": same("Floor", ops.Floor()), "Ceil": same("Ceil", ops.Ceil()), "Round": same("Round", ops.Round()),
    "IsNaN": same("IsNaN", ops.IsNaN()),
    "IsInf": Row(_is_inf, {ops.IsInf: written("IsInf", 10, detect_positive=lambda op: int(op.positive),
                                              detect_negative=lambda op: int(op.negative))}),
    "Max": Row(_fold(ops.Maximum()), {ops.Maximum: written("Max"), ops.LargerShare: _write_share}),
    "Min": Row(_fold(ops.Minimum()), {ops.Minimum: written("Min")}),
    "Sum": Row(_fold(ops.EWiseAdd())),
    "Mean": Row(_mean),
    "Clip": Row(_clip, {ops.Clip: _write_clip}),
    "Relu": Row(_relu, {ops.ReLU: written("Relu")}),
    "LeakyRelu": Row(lambda at, x: apply(ops.LeakyReLU(at.get("alpha", 0.01)), x),
                     {ops.LeakyReLU: written("LeakyRelu", alpha=lambda op: float(op.slope))}),
    "PRelu": Row(_prelu),
    "Elu": Row(_elu), "Celu": Row(_celu), "Selu": Row(_selu),
    "Sigmoid": same("Sigmoid", ops.Sigmoid()),
    "HardSigmoid": Row(_hard_sigmoid), "HardSwish": Row(_hard_swish),
    "Tanh": same("Tanh", ops.Tanh()),
    "Softplus": same("Softplus", ops.Softplus()),
    "Softsign": Row(_softsign), "Mish": Row(_mish), "Shrink": Row(_shrink), "ThresholdedRelu": Row(_thresholded),
    "Gelu": Row(_gelu, {ops.GELU: _write_gelu}),
    "Swish": Row(_swish, {ops.SiLU: _write_silu}),
    "Equal": Row(_compare(ops.Equal()), {ops.Equal: written("Equal"), ops.NotEqual: _write_not_equal}),
    "Less": Row(_compare(ops.Less()), {ops.Less: written("Less")}),
    "LessOrEqual": Row(_compare(ops.LessEqual()), {ops.LessEqual: written("LessOrEqual", 12)}),
    "Greater": Row(_compare(ops.Greater()), {ops.Greater: written("Greater")}),
    "GreaterOrEqual": Row(_compare(ops.GreaterEqual()), {ops.GreaterEqual: written("GreaterOrEqual", 12)}),
    "And": Row(lambda at, a, b: apply(ops.LogicalAnd(), a, b), {ops.LogicalAnd: written("And")}),
    "Or": Row(lambda at, a, b: apply(ops.LogicalOr(), a, b), {ops.LogicalOr: written("Or")}),
    "Not": Row(lambda at, a: apply(ops.LogicalNot(), a), {ops.LogicalNot: written("Not")}),
    "Xor": Row(lambda at, a, b: apply(ops.NotEqual(), a, b)),
    "Where": Row(lambda at, m, a, b: apply(ops.Where(), m, a, b), {ops.Where: written("Where")}, in_float32=False),
    "BitwiseAnd": Row(_logical("and")), "BitwiseOr": Row(_logical("or")), "BitwiseXor": Row(_logical("xor")),
    "BitwiseNot": Row(lambda at, a: apply(BitwiseNot(), a)),
    "BitShift": Row(_shift),
    "BitCast": Row(lambda at, x: apply(BitCast(NAMES[at.get("to")]), x), in_float32=False),
    "Cast": Row(_cast, {ops.Cast: lambda w, node, x: w.cast(x, node.type.dtype),
                        CastTo: lambda w, node, x: w.cast(x, node.type.dtype)}, in_float32=False),
    "CastLike": Row(lambda at, x, y: to_dtype(at, x, y.type.dtype), in_float32=False),
}  # fmt: skip
