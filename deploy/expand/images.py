"""Images sampled at places that data say: the pixels around each place by number, weighted by their distance."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

import numpy

from needle import ops

from ..ir import Node
from ..onnx.make import Unsupported
from ..onnx.ops import DeformConv, GridSample, Modulo, RoiAlign
from .arithmetic import (
    add,
    apply,
    at,
    broadcast,
    cast,
    clip,
    const,
    count,
    flat,
    floor,
    known_sizes,
    less,
    mul,
    permute,
    reshape,
    rounded,
    stack,
    sub,
    total,
    where,
)  # fmt: skip

REACH = {"linear": 1, "cubic": 2}


def _share(mode: str, distance: Node) -> Node:
    """The weight of a pixel at a distance: 1 - |x|, or Keys' cubic kernel with a = -3/4."""
    x = apply(ops.Abs(), distance)
    if mode == "linear":
        return clip(add(mul(x, -1.0), 1.0), 0.0, 1.0)
    a = -0.75
    near = add(mul(mul(add(mul(x, a + 2), -(a + 3)), x), x), 1.0)
    far = add(mul(add(mul(add(mul(x, a), -5 * a), x), 8 * a), x), -4 * a)
    return where(less(x, 1.0), near, where(less(x, 2.0), far, const(0.0, x.type.dtype)))


def _grid(node: Node) -> Node:
    """GridSample: x (N, C, *S) at grid (N, *P, rank)."""
    op, (x, grid) = node.op, node.inputs
    size, rank = known_sizes(*x.shape[2:]), len(x.shape) - 2
    images = x.shape[0]
    rows, start = _rows(x, images), mul(count(x, 0, len(grid.shape) - 1), prod(size))
    places = [_moved(op, at(grid, len(grid.shape) - 1, rank - 1 - k), n) for k, n in enumerate(size)]
    if op.mode == "nearest":
        return _found(rows, op, [rounded(p) for p in places], size, start)
    y = None
    base = [floor(p) for p in places]
    for step in product(range(1 - REACH[op.mode], 1 + REACH[op.mode]), repeat=rank):
        near = [add(b, float(s)) for b, s in zip(base, step, strict=True)]
        share = None
        for place, p in zip(near, places, strict=True):
            part = _share(op.mode, sub(place, p))
            share = part if share is None else mul(share, part)
        assert share is not None
        part = mul(_found(rows, op, near, size, start), reshape(share, (images, 1, *grid.shape[1:-1])))
        y = part if y is None else add(y, part)
    assert y is not None
    return y


def _rows(x: Node, images: int) -> Node:
    """The pixels of all images, one after the other: (N prod(S), C)."""
    rank = len(x.shape) - 2
    return reshape(permute(x, (0, *range(2, 2 + rank), 1)), (images * prod(x.shape[2:]), x.shape[1]))


def _found(rows: Node, op: GridSample, near: list[Node], size: tuple[int, ...], start: Node) -> Node:
    """The pixels at whole places (N, *P), as (N, C, *P); `start` says at which row an image begins."""
    inside, ids = None, []
    for place, n in zip(near, size, strict=True):
        if op.padding == "zeros":
            here = mul(_not_less(place, 0.0), _not_less(const(float(n - 1), place.type.dtype), place))
            inside = here if inside is None else mul(inside, here)
        elif op.padding == "reflection":
            place = rounded(_mirrored(place, n, op.align))
        ids.append(cast(clip(place, 0.0, float(n - 1)), "int64"))
    shape = near[0].shape
    seen = apply(ops.Take(0), rows, add(flat(ids, size), start))
    rank = len(shape)
    seen = permute(seen, (0, rank, *range(1, rank)))
    return seen if inside is None else mul(seen, reshape(inside, (shape[0], 1, *shape[1:])))


def _not_less(a: Node, b: Node | float) -> Node:
    """1 where a >= b, else 0."""
    other = b if isinstance(b, Node) else const(b, a.type.dtype)
    dtype = a.type.dtype
    return cast(apply(ops.GreaterEqual(), a, other), dtype)


def _moved(op: GridSample, p: Node, n: int) -> Node:
    """A place in -1..1 as one among n elements, inside by the padding."""
    p = mul(add(p, 1.0), (n - 1) / 2) if op.align else mul(add(mul(add(p, 1.0), float(n)), -1.0), 0.5)
    if op.mode == "nearest":
        p = rounded(p)
    if op.mode == "cubic":
        return p
    if op.padding == "border":
        return clip(p, 0.0, n - 1.0)
    return _mirrored(p, n, op.align) if op.padding == "reflection" else p


def _mirrored(p: Node, n: int, align: bool) -> Node:
    low, high = (0.0, n - 1.0) if align else (-0.5, n - 0.5)
    span = high - low
    if span <= 0:
        return mul(p, 0.0)
    q = apply(Modulo(True), apply(ops.Abs(), add(p, -low)), const(2 * span, p.type.dtype))
    return add(where(less(const(span, p.type.dtype), q), add(mul(q, -1.0), 2 * span), q), low)


def _between(rows: Node, start: Node, y: Node, x: Node, size: tuple[int, int], edge: bool) -> list[tuple[Node, Node]]:
    """(pixel, its share) of the four around places (y, x) of the images that begin at rows `start`.

    With `edge` what is outside is what is at the edge, else 0.
    """
    parts, (height, width) = [], size
    sides = [(floor(y), y, height), (floor(x), x, width)]
    for step in product((0.0, 1.0), repeat=2):
        ids, share = [], None
        for (base, place, n), s in zip(sides, step, strict=True):
            near = add(base, s)
            part = _share("linear", sub(near, place))
            if not edge:
                part = mul(part, mul(_not_less(near, 0.0), _not_less(const(n - 1.0, near.type.dtype), near)))
            share = part if share is None else mul(share, part)
            ids.append(cast(clip(near, 0.0, n - 1.0), "int64"))
        assert share is not None
        parts.append((apply(ops.Take(0), rows, add(flat(ids, size), start)), share))
    return parts


def _deformed(node: Node) -> Node:
    """DeformConv: windows whose places are moved, as columns, times weights."""
    op, (x, w, offset, *more) = node.op, node.inputs
    bias = next((m for m in more if len(m.shape) == 1), None)
    mask = next((m for m in more if len(m.shape) == 4), None)
    n, channels, height, width = known_sizes(*x.shape)
    kernel, out, g = w.shape[2:], known_sizes(*offset.shape[2:]), op.offset_groups
    taps = prod(kernel)
    moved = reshape(offset, (n, g, taps, 2, *out))
    images = n * g
    each = reshape(x, (images, channels // g, height, width))
    rows, start = _rows(each, images), numpy.arange(images).reshape(n, g, 1, 1) * height * width
    grid = [numpy.arange(c) * s - p[0] for c, s, p in zip(out, op.stride, op.padding, strict=True)]
    columns = []
    for t, (u, v) in enumerate(product(range(kernel[0]), range(kernel[1]))):
        here = at(moved, 2, t)  # (N, G, 2, H', W')
        y = add(at(here, 2, 0), const((grid[0][:, None] + u * op.dilation[0]).astype("float32")))
        across = add(at(here, 2, 1), const((grid[1][None] + v * op.dilation[1]).astype("float32")))
        seen = None
        for pixel, share in _between(rows, const(start, "int64"), y, across, (height, width), False):
            part = mul(pixel, reshape(share, (*share.shape, 1)))
            seen = part if seen is None else add(seen, part)
        assert seen is not None
        if mask is not None:
            seen = mul(seen, reshape(at(reshape(mask, (n, g, taps, *out)), 2, t), (n, g, *out, 1)))
        columns.append(reshape(permute(seen, (0, 1, 4, 2, 3)), (n, channels, prod(out))))
    made = stack(columns, 2)  # (N, C, taps, P)
    parts = reshape(made, (n, op.groups, channels // op.groups * taps, prod(out)))
    filters = reshape(w, (1, op.groups, w.shape[0] // op.groups, prod(w.shape[1:])))
    y = reshape(apply(ops.MatMul(), broadcast(filters, (n, *filters.shape[1:])), parts), node.shape)
    return y if bias is None else add(y, reshape(bias, (1, bias.shape[0], 1, 1)))


def _regions(node: Node) -> Node:
    """RoiAlign: points of each cell of each box, between pixels."""
    op, (x, boxes, batch) = node.op, node.inputs
    if not op.samples:
        raise Unsupported("how many points a cell has depends on the boxes")
    images, channels, height, width = known_sizes(*x.shape)
    regions, (down, across), samples = boxes.shape[0], op.size, op.samples
    scaled = add(mul(boxes, op.scale), -0.5 if op.half_pixel else 0.0)
    sides = []
    for low, high, cells in ((1, 3, down), (0, 2, across)):
        start, end = at(scaled, 1, low), at(scaled, 1, high)
        span = sub(end, start)
        span = span if op.half_pixel else clip(span, 1.0, None)
        steps = (numpy.arange(cells)[:, None] + (numpy.arange(samples) + 0.5) / samples).reshape(-1) / cells
        points = mul(reshape(span, (regions, 1)), const(steps.astype("float32")[None]))
        sides.append(add(points, reshape(start, (regions, 1))))
    shape = (regions, down * samples, across * samples)
    y = broadcast(reshape(sides[0], (regions, down * samples, 1)), shape)
    x_at = broadcast(reshape(sides[1], (regions, 1, across * samples)), shape)
    start = mul(cast(reshape(batch, (regions, 1, 1)), "int64"), height * width)
    inside = None
    held = []
    for p, n in ((y, height), (x_at, width)):
        here = mul(_not_less(p, -1.0), _not_less(const(float(n), "float32"), p))
        inside = here if inside is None else mul(inside, here)
        held.append(clip(p, 0.0, n - 1.0))
    parts = _between(_rows(x, images), start, held[0], held[1], (height, width), True)
    shares = [mul(pixel, reshape(share, (*shape, 1))) for pixel, share in parts]
    seen = shares[0]
    for part in shares[1:]:
        seen = apply(ops.Maximum(), seen, part) if op.mode == "max" else add(seen, part)
    assert inside is not None
    seen = mul(seen, reshape(inside, (*shape, 1)))
    seen = reshape(seen, (regions, down, samples, across, samples, channels))
    y = apply(ops.Max((2, 4)), seen) if op.mode == "max" else mul(total(seen, 2, 4), 1 / samples**2)
    return permute(y, (0, 3, 1, 2))


TABLE: dict[type, Any] = {GridSample: _grid, DeformConv: _deformed, RoiAlign: _regions}
