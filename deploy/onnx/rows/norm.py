"""Normalisations."""

from __future__ import annotations

import math
from typing import Any

from needle import ops

from ...ir import Node
from .. import make
from ..at import At
from ..make import Unsupported, add, apply, axis_of, cast, div, mean, mul, reshape, scale, sub, total
from ..row import Row
from .products import first_channels, last_channels


def _batch_norm(at: At, x: Node, weight: Node, bias: Node, mu: Node, var: Node) -> Any:
    eps, momentum = at.get("epsilon", 1e-5), at.get("momentum", 0.9)
    if at.get("training_mode", 0) or (at.opset < 14 and sum(map(bool, at.outputs)) > 1):
        axes = tuple(i for i in range(len(x.shape)) if i != 1)
        shape = (x.shape[1], *(1,) * (len(x.shape) - 2))
        own = mean(x, axes, False)
        centred = sub(x, reshape(own, shape))
        spread = mean(mul(centred, centred), axes, False)
        root = apply(ops.Sqrt(), apply(ops.AddScalar(eps), spread))
        y = add(mul(div(centred, reshape(root, shape)), reshape(weight, shape)), reshape(bias, shape))
        keep = [add(scale(old, momentum), scale(new, 1 - momentum)) for old, new in ((mu, own), (var, spread))]
        return (y, *keep) if at.opset >= 14 else (y, *keep, own, spread)
    if len(x.shape) < 2:
        raise Unsupported(f"of x {x.shape}")
    moved = last_channels(x) if len(x.shape) > 2 else x
    given = [cast(v, x.type.dtype) for v in (weight, bias, mu, var)]
    y = apply(ops.BatchNormInference(eps), moved, *given)
    return first_channels(y) if len(x.shape) > 2 else y


def _instance_norm(at: At, x: Node, weight: Node, bias: Node) -> Node:
    y = _standard(x, tuple(range(2, len(x.shape))), at.get("epsilon", 1e-5))
    shape = (x.shape[1], *(1,) * (len(x.shape) - 2))
    return add(mul(y, reshape(weight, shape)), reshape(bias, shape))


def _standard(x: Node, axes: tuple[int, ...], eps: float) -> Node:
    """x with mean 0 and variance 1 over axes."""
    centred = sub(x, mean(x, axes, True))
    var = mean(mul(centred, centred), axes, True)
    return div(centred, apply(ops.Sqrt(), apply(ops.AddScalar(eps), var)))


def _group_norm(at: At, x: Node, weight: Node, bias: Node) -> Node:
    groups, channels = at.get("num_groups"), x.shape[1]
    if at.opset < 21 and weight.shape != (channels,):  # one number for each group
        weight, bias = (_repeated(v, channels // groups) for v in (weight, bias))
    y = make.items(ops.GroupNorm(groups, at.get("epsilon", 1e-5)), last_channels(x), weight, bias)[0]
    return first_channels(y)


def _repeated(v: Node, times: int) -> Node:
    n = v.shape[0]
    return reshape(make.broadcast(reshape(v, (n, 1)), (n, times)), (n * times,))


def _layer_norm(at: At, x: Node, weight: Node, bias: Node | None = None) -> Any:
    rank, eps = len(x.shape), at.get("epsilon", 1e-5)
    axis = axis_of(at.get("axis", -1), rank)
    width = math.prod(x.shape[axis:])
    plain = all(_vector(v, x.shape[axis:]) for v in (weight, bias) if v is not None)
    if plain:
        flat = x if axis == rank - 1 else reshape(x, (*x.shape[:axis], width))
        gain = reshape(weight, (width,))
        shift = make.const(_zeros(width), x.type.dtype) if bias is None else reshape(bias, (width,))
        y, mu, rstd = make.items(ops.LayerNorm(eps), flat, gain, shift)
        y = reshape(y, x.shape)
        few = (*x.shape[:axis], *(1,) * (rank - axis))
        return tuple([y, reshape(mu, few), reshape(rstd, few)][: max(len(at.outputs), 1)])
    axes = tuple(range(axis, rank))
    mu = mean(x, axes, True)
    centred = sub(x, mu)
    rstd = div(make.like(x, 1), apply(ops.Sqrt(), apply(ops.AddScalar(eps), mean(mul(centred, centred), axes, True))))
    y = mul(mul(centred, rstd), weight)
    return tuple([y if bias is None else add(y, bias), mu, rstd][: max(len(at.outputs), 1)])


def _zeros(n: int) -> Any:
    import numpy

    return numpy.zeros(n)


def _vector(v: Node, shape: tuple[int, ...]) -> bool:
    """Whether a weight has an element for each place of the normalised axes."""
    kept = [n for n in v.shape if not (isinstance(n, int) and n == 1)]
    return list(map(str, kept)) == [str(n) for n in shape if str(n) != "1"] and math.prod(v.shape) == math.prod(shape)


def _rms_norm(at: At, x: Node, weight: Node) -> Node:
    rank, axis, eps = len(x.shape), axis_of(at.get("axis", -1), len(x.shape)), at.get("epsilon", 1e-5)
    width = math.prod(x.shape[axis:])
    if _vector(weight, x.shape[axis:]):
        flat = x if axis == rank - 1 else reshape(x, (*x.shape[:axis], width))
        return reshape(make.items(ops.RMSNorm(eps), flat, reshape(weight, (width,)))[0], x.shape)
    root = apply(ops.Sqrt(), apply(ops.AddScalar(eps), mean(mul(x, x), tuple(range(axis, rank)), True)))
    return mul(div(x, root), weight)


def _mean_variance(at: At, x: Node) -> Node:
    axes = tuple(axis_of(a, len(x.shape)) for a in at.get("axes", (0, 2, 3)))
    centred = sub(x, mean(x, axes, True))
    var = mean(mul(centred, centred), axes, True)
    return div(centred, apply(ops.AddScalar(1e-9), apply(ops.Sqrt(), var)))


def _lrn(at: At, x: Node) -> Node:
    n = at.get("size")
    before, after = (n - 1) // 2, n // 2
    squares = mul(x, x)
    rank = len(x.shape)
    wide = apply(ops.Pad(tuple((before, after) if i == 1 else (0, 0) for i in range(rank))), squares)
    c = x.shape[1]
    parts = [make.index(wide, 1, (k, k + c, 1)) for k in range(n)]
    sums = parts[0]
    for part in parts[1:]:
        sums = add(sums, part)
    base = apply(ops.AddScalar(at.get("bias", 1.0)), scale(sums, at.get("alpha", 1e-4) / n))
    return div(x, apply(ops.PowerScalar(at.get("beta", 0.75)), base))


def _lp_norm(at: At, x: Node) -> Node:
    axis, p = axis_of(at.get("axis", -1), len(x.shape)), at.get("p", 2)
    powers = apply(ops.Abs(), x) if p == 1 else mul(x, x)
    norm = total(powers, (axis,), True)
    norm = norm if p == 1 else apply(ops.Sqrt(), norm)
    zero = apply(ops.Equal(), norm, make.like(x, 0))
    return make.where(zero, make.like(x, 0), div(x, make.where(zero, make.like(x, 1), norm)))


# -- export ------------------------------------------------------------------------------------------------------------


def _write_batch_norm(w: Any, node: Node, x: str, *given: str) -> Any:
    rank = len(node.shape)
    moved = w.transpose(x, (0, rank - 1, *range(1, rank - 1))) if rank > 2 else x
    y = w.add("BatchNormalization", (moved, *given), epsilon=float(node.op.eps))
    return w.transpose(y, (0, *range(2, rank), 1)) if rank > 2 else y


def _write_layer_norm(w: Any, node: Node, *given: str) -> Any:
    w.needs(17, "LayerNormalization")
    return w.add("LayerNormalization", given, results=3, axis=-1, epsilon=float(node.op.eps))


def _write_group_norm(w: Any, node: Node, x: str, weight: str, bias: str) -> Any:
    """Through (N, groups, all else), as normalisations of instances have it, then weights by channel."""
    shape, groups = node.type[0].shape, node.op.groups
    rank = len(shape)
    first = (shape[0], shape[-1], *shape[1:-1])
    moved = w.transpose(x, (0, rank - 1, *range(1, rank - 1)))
    flat = w.add("Reshape", (moved, w.shape((shape[0], groups, -1))))
    ones = w.constant_of([1.0] * groups), w.constant_of([0.0] * groups)
    y = w.add("InstanceNormalization", (flat, *ones), epsilon=float(node.op.eps))
    y = w.transpose(w.add("Reshape", (y, w.shape(first, one_open=True))), (0, *range(2, rank), 1))
    return w.add("Add", (w.add("Mul", (y, weight)), bias)), None, None


def _write_rms_norm(w: Any, node: Node, x: str, weight: str) -> Any:
    if w.opset >= 23:
        return w.add("RMSNormalization", (x, weight), axis=-1, epsilon=float(node.op.eps)), None
    rank = len(node.type[0].shape)
    var = w.add("Add", (w.mean(w.add("Mul", (x, x)), [rank - 1], 1), w.number(node.op.eps)))
    rstd = w.add("Reciprocal", (w.add("Sqrt", (var,)),))
    return w.add("Mul", (w.add("Mul", (x, rstd)), weight)), rstd


ROWS: dict[str, Row] = {
    "BatchNormalization": Row(_batch_norm, {ops.BatchNormInference: _write_batch_norm}),
    "InstanceNormalization": Row(_instance_norm),
    "GroupNormalization": Row(_group_norm, {ops.GroupNorm: _write_group_norm}),
    "LayerNormalization": Row(_layer_norm, {ops.LayerNorm: _write_layer_norm}),
    "RMSNormalization": Row(_rms_norm, {ops.RMSNorm: _write_rms_norm}),
    "MeanVarianceNormalization": Row(_mean_variance),
    "LRN": Row(_lrn),
    "LpNormalization": Row(_lp_norm),
}
