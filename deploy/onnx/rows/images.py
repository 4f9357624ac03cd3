"""Resizing, sampling, boxes and regions of images; quantised tensors."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy

from needle import ops
from needle.sizes import Size

from ...ir import Node
from .. import make
from ..at import At
from ..dtypes import NAMES
from ..make import Unsupported, apply, axis_of, cast, const
from ..ops import (
    ConvInteger,
    DeformConv,
    DequantizeLinear,
    GridSample,
    ImageDecoder,
    MatMulInteger,
    NonMaxSuppression,
    QuantizeLinear,
    Requantize,
    Resize,
    RoiAlign,
)  # fmt: skip
from ..row import Row, written
from .products import first_channels, last_channels, windows

REPEATING = (  # the places that repeat every element where a size is so many times another
    ("asymmetric", "floor"), ("tf_half_pixel_for_nn", "floor"), ("half_pixel", "round_prefer_floor"),
)  # fmt: skip


def _resize(at: At, x: Node, roi: Node | None = None, scales: Node | None = None, sizes: Node | None = None) -> Node:
    if at.opset == 10:
        roi, scales = None, roi
    rank = len(x.shape)
    axes = [axis_of(a, rank) for a in at.get("axes") or range(rank)]
    shape = [x.shape[a] for a in axes]
    wanted = at.ints(sizes, "sizes") or None
    given = None
    if wanted is None:
        given = [float(s) for s in at.array(scales, "scales").reshape(-1)]
        out = [_scaled(n, s) for n, s in zip(shape, given, strict=True)]
    else:
        out = list(wanted)
        policy = at.get("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            pick = min if policy == "not_larger" else max
            s = pick(w / n for w, n in zip(out, shape, strict=True))
            given, out = [s] * len(axes), [math.floor(s * n + 0.5) for n in shape]
    coordinates = at.get("coordinate_transformation_mode", "half_pixel" if at.opset > 10 else "asymmetric")
    mode = at.get("mode", "nearest")
    box = tuple(float(v) for v in at.array(roi, "roi").reshape(-1)) if coordinates == "tf_crop_and_resize" else ()
    nearest = at.get("nearest_mode", "round_prefer_floor" if at.opset > 10 else "floor")
    return resized(x, axes, out, given, mode, coordinates, nearest, at, box)


def resized(
    x: Node, axes: list[int], out: list[int], given: list[float] | None, mode: str, coordinates: str, nearest: str,
    at: At, box: tuple[float, ...] = (),
) -> Node:  # fmt: skip
    """x in other sizes; needle's kernels where two axes of an image change as they know it."""
    changed = [i for i, a in enumerate(axes) if not _same(x.shape[a], out[i]) or (given and given[i] != 1) or box]
    if not changed:
        return x
    repeated = [_times(x.shape[axes[i]], out[i]) for i in changed]
    whole = (coordinates, nearest) in REPEATING
    is_open = any(isinstance(n, Size) for i in changed for n in (x.shape[axes[i]], out[i]))
    if is_open and mode == "nearest" and whole and all(repeated):
        return _repeat(x, {axes[i]: n for i, n in zip(changed, repeated, strict=True)})
    numbers = [] if is_open and not given else [given[i] if given else out[i] / x.shape[axes[i]] for i in changed]
    image = len(x.shape) == 4 and all(axes[i] in (2, 3) for i in changed) and x.type.dtype == "float32"
    image = image and not is_open and not box
    floor = mode == "nearest" and coordinates == "asymmetric" and nearest == "floor"
    linear = mode in ("linear", "bilinear") and coordinates in ("half_pixel", "pytorch_half_pixel") and all(
        out[i] > 1 or coordinates == "half_pixel" for i in changed)  # fmt: skip
    if image and (floor or linear) and not at.get("antialias", 0) and not at.get("exclude_outside", 0):
        size = {axes[i]: (out[i], number) for i, number in zip(changed, numbers, strict=True)}
        rows, columns = (size.get(a, (x.shape[a], 1.0)) for a in (2, 3))
        op = ops.Upsample((rows[0], columns[0]), "nearest" if floor else "bilinear", (rows[1], columns[1]))
        return first_channels(apply(op, last_channels(x)))
    kept = box and tuple(v for part in (box[: len(axes)], box[len(axes) :]) for i, v in enumerate(part) if i in changed)
    general = Resize(
        tuple(axes[i] for i in changed), tuple(out[i] for i in changed), tuple(numbers),
        {"bilinear": "linear"}.get(mode, mode), coordinates, nearest, at.get("cubic_coeff_a", -0.75),
        bool(at.get("exclude_outside", 0)), bool(at.get("antialias", 0)), at.get("extrapolation_value", 0.0),
        kept or (),
    )  # fmt: skip
    return apply(general, x)


def _times(n: int, out: int) -> int:
    """k where out = k n, whatever the open sizes are; 0 where there is none up to 16."""
    return next((k for k in range(1, 17) if _same(n * k, out)), 0)


def _repeat(x: Node, times: dict[int, int]) -> Node:
    """Every element as often along its axis as this says."""
    wide = make.reshape(x, [m for n in x.shape for m in (n, 1)])
    many = make.broadcast(wide, [m for axis, n in enumerate(x.shape) for m in (n, times.get(axis, 1))])
    return make.reshape(many, [n * times.get(axis, 1) for axis, n in enumerate(x.shape)])


def _same(a: int, b: int) -> bool:
    return str(a) == str(b)


def _scaled(n: int, s: float) -> int:
    if s == 1:
        return n
    if isinstance(n, Size):
        share = Fraction(s).limit_denominator(1024)
        if float(share) != s:
            raise Unsupported(f"an open size, {n}, times {s}")
        return n * share.numerator // share.denominator
    return math.floor(n * s)


def _upsample(at: At, x: Node, scales: Node | None = None) -> Node:
    given = [float(s) for s in (at.get("scales") if scales is None else at.array(scales, "scales").reshape(-1))]
    out = [_scaled(n, s) for n, s in zip(x.shape, given, strict=True)]
    return resized(x, list(range(len(given))), out, given, at.get("mode", "nearest"), "asymmetric", "floor", at)


def _grid_sample(at: At, x: Node, grid: Node) -> Node:
    mode = {"bilinear": "linear", "bicubic": "cubic"}.get(at.get("mode", "linear"), at.get("mode", "linear"))
    return apply(GridSample(mode, at.get("padding_mode", "zeros"), bool(at.get("align_corners", 0))), x, grid)


def _roi_align(at: At, x: Node, boxes: Node, batch: Node) -> Node:
    size = at.get("output_height", 1), at.get("output_width", 1)
    half = at.get("coordinate_transformation_mode", "half_pixel" if at.opset >= 16 else "output_half_pixel")
    op = RoiAlign(size, at.get("sampling_ratio", 0), at.get("spatial_scale", 1.0), at.get("mode", "avg"),
                  half == "half_pixel")  # fmt: skip
    return apply(op, x, boxes, batch)


def _suppression(at: At, boxes: Node, scores: Node, most: Node | None = None, overlap: Node | None = None,
                 least: Node | None = None) -> Node:  # fmt: skip
    op = NonMaxSuppression(
        min(int(at.number(most, "max_output_boxes_per_class", 0)), 2**31),  # .nd files hold no 2^63 - 1
        float(at.number(overlap, "iou_threshold", 0.0)),
        None if least is None else float(at.number(least, "score_threshold")), bool(at.get("center_point_box", 0)),
        at.fresh("boxes"),
    )  # fmt: skip
    return apply(op, boxes, scores)


def _deform(at: At, x: Node, w: Node, offset: Node, bias: Node | None = None, mask: Node | None = None) -> Node:
    stride, padding, dilation = windows(at, x.shape[2:], tuple(w.shape[2:]))
    op = DeformConv(tuple(stride), tuple(padding), tuple(dilation), at.get("group", 1), at.get("offset_group", 1))
    return apply(op, x, w, offset, *[v for v in (bias, mask) if v is not None])


# -- quantisation ------------------------------------------------------------------------------------------------------


def _quantize(at: At, x: Node, scale: Node, zero: Node | None = None) -> Node:
    to = at.get("output_dtype", 0)
    dtype = zero.type.dtype if zero is not None else NAMES[to] if to else "uint8"
    precision = NAMES[at.get("precision")] if at.get("precision", 0) else (
        scale.type.dtype if x.type.dtype == "float16" and scale.type.dtype == "float16" else "float32")  # fmt: skip
    op = QuantizeLinear(at.get("axis", 1), at.get("block_size", 0), dtype, bool(at.get("saturate", 1)), precision)
    return apply(op, x, scale, *([] if zero is None else [zero]))


def _dequantize(at: At, x: Node, scale: Node, zero: Node | None = None) -> Node:
    to = at.get("output_dtype", 0)
    dtype = NAMES[to] if to else scale.type.dtype
    op = DequantizeLinear(at.get("axis", 1), at.get("block_size", 0), dtype)
    return apply(op, x, scale, *([] if zero is None else [zero]))


def present(*values: Node | None) -> list[Node]:
    """Zero points: those that are left out are 0."""
    found = list(values)
    while found and found[-1] is None:
        found.pop()
    return [const(0, "uint8") if v is None else v for v in found]


def _matmul_integer(at: At, a: Node, b: Node, *zeros: Node | None) -> Node:
    return apply(MatMulInteger(), a, b, *present(*zeros))


def _conv_integer(at: At, x: Node, w: Node, *zeros: Node | None) -> Node:
    stride, padding, dilation = windows(at, x.shape[2:], tuple(w.shape[2:]))
    op = ConvInteger(tuple(stride), tuple(padding), tuple(dilation), at.get("group", 1))
    return apply(op, x, w, *present(*zeros))


def _scales(a: Node, b: Node, y: Node, rank: int) -> Node:
    """a b / y, in float64 so that rounding is that of the exact quotient."""
    wide = [cast(v, "float64") for v in (a, b, y)]
    return make.div(make.mul(wide[0], wide[1]), wide[2])


def _qlinear_matmul(at: At, a: Node, a_scale: Node, a_zero: Node, b: Node, b_scale: Node, b_zero: Node, y_scale: Node,
                    y_zero: Node) -> Node:  # fmt: skip
    sums = apply(MatMulInteger(), a, b, a_zero, b_zero)
    return apply(Requantize(-1, y_zero.type.dtype), sums, _scales(a_scale, b_scale, y_scale, len(sums.shape)), y_zero)


def _qlinear_conv(at: At, x: Node, x_scale: Node, x_zero: Node, w: Node, w_scale: Node, w_zero: Node, y_scale: Node,
                  y_zero: Node, bias: Node | None = None) -> Node:  # fmt: skip
    sums = _conv_integer(at, x, w, x_zero, w_zero)
    if bias is not None:
        sums = make.add(sums, make.reshape(bias, (bias.shape[0], *(1,) * (len(x.shape) - 2))))
    return apply(Requantize(1, y_zero.type.dtype), sums, _scales(x_scale, w_scale, y_scale, len(x.shape)), y_zero)


def _decode(at: At, x: Node) -> Node:
    return apply(ImageDecoder(at.get("pixel_format", "RGB"), at.fresh("rows"), at.fresh("columns")), x)


def _write_upsample(w: Any, node: Node, x: str) -> Any:
    op, shape = node.op, node.inputs[0].shape
    linear = op.mode == "bilinear"
    y = w.transpose(x, (0, 3, 1, 2))
    if op.scale is None or any(not _exact(n, s, m) for n, s, m in zip(shape[1:3], op.scale, op.size, strict=True)):
        given = [y, "", "", w.shape((shape[0], shape[3], *op.size))]
    else:
        given = [y, "", w.constant_of([1.0, 1.0, *map(float, op.scale)])]
    places = "half_pixel" if linear else "asymmetric"
    y = w.add("Resize", given, mode="linear" if linear else "nearest", coordinate_transformation_mode=places,
              nearest_mode="floor")  # fmt: skip
    return w.transpose(y, (0, 2, 3, 1))


def _exact(n: int, s: float, m: int) -> bool:
    return math.floor(n * numpy.float32(s)) == m


ROWS: dict[str, Row] = {
    "Resize": Row(_resize, {ops.Upsample: _write_upsample}),
    "Upsample": Row(_upsample),
    "GridSample": Row(_grid_sample),
    "RoiAlign": Row(_roi_align),
    "NonMaxSuppression": Row(_suppression),
    "DeformConv": Row(_deform),
    "ImageDecoder": Row(_decode),
    "QuantizeLinear": Row(_quantize, {QuantizeLinear: written("QuantizeLinear", 13, axis=lambda op: op.axis)},
                          in_float32=False),
    "DequantizeLinear": Row(_dequantize, {DequantizeLinear: written("DequantizeLinear", 13, axis=lambda op: op.axis)},
                            in_float32=False),
    "MatMulInteger": Row(_matmul_integer, {MatMulInteger: written("MatMulInteger", 10)}),
    "ConvInteger": Row(_conv_integer),
    "QLinearMatMul": Row(_qlinear_matmul, in_float32=False),
    "QLinearConv": Row(_qlinear_conv, in_float32=False),
}  # fmt: skip
