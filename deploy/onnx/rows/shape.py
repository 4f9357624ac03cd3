"""Operators that move elements or say what shapes are: reshapes, slices, joins, gathers, constants."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy

from needle import ops
from needle.sizes import Size, larger, smaller
from needle.types import Type

from ...ir import Node
from ...ir import apply as node_of
from .. import make
from ..at import At
from ..dtypes import NAMES, numpy_dtype
from ..make import Unsupported, apply, axis_of, const, permute, reshape
from ..ops import (
    Arange,
)  # fmt: skip
from ..row import Row
from . import shape_writers
from .shape_writers import FAR


def _reshape(at: At, x: Node, shape: Node | None = None) -> Node:
    wanted = list(at.given(shape, "shape") or ())
    if not at.get("allowzero", 0):
        wanted = [x.shape[i] if not isinstance(n, Size) and n == 0 else n for i, n in enumerate(wanted)]
    return reshape(x, resolved(x.shape, wanted))


def resolved(shape: Sequence[int], wanted: Sequence[int]) -> tuple[int, ...]:
    """The shape with its -1 replaced: also where sizes are open, by leaving out what both sides share."""
    places = [i for i, n in enumerate(wanted) if not isinstance(n, Size) and n == -1]
    if len(places) != 1:
        return tuple(wanted)
    known = math.prod(n for i, n in enumerate(wanted) if i != places[0])
    total = math.prod(shape)
    if not isinstance(known, Size) and known == 0:
        size: int = 0
    else:
        size = total // known
    return tuple(size if i == places[0] else n for i, n in enumerate(wanted))


def _flatten(at: At, x: Node) -> Node:
    axis = at.get("axis", 1)
    axis = axis + len(x.shape) if axis < 0 else axis
    return reshape(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


def _transpose(at: At, x: Node) -> Node:
    return permute(x, at.get("perm") or range(len(x.shape))[::-1])


def _squeeze(at: At, x: Node, axes: Node | None = None) -> Node:
    given = at.given(axes, "axes")
    rank = len(x.shape)
    chosen = [i for i, n in enumerate(x.shape) if not isinstance(n, Size) and n == 1] if given is None else [
        axis_of(a, rank) for a in given]  # fmt: skip
    if any(isinstance(x.shape[i], Size) or x.shape[i] != 1 for i in chosen):
        raise Unsupported(f"axes {chosen} of {x.shape} are not all 1")
    return reshape(x, [n for i, n in enumerate(x.shape) if i not in chosen])


def _unsqueeze(at: At, x: Node, axes: Node | None = None) -> Node:
    given = at.given(axes, "axes") or ()
    rank = len(x.shape) + len(given)
    places, rest = {axis_of(a, rank) for a in given}, iter(x.shape)
    if len(places) != len(given):
        raise Unsupported(f"axes {given} name one axis twice")
    return reshape(x, [1 if i in places else next(rest) for i in range(rank)])


def _expand(at: At, x: Node, shape: Node) -> Node:
    wanted = at.ints(shape, "shape") or ()
    rank = max(len(wanted), len(x.shape))
    own, other = (1,) * (rank - len(x.shape)) + x.shape, (1,) * (rank - len(wanted)) + tuple(wanted)
    return make.broadcast(x, [b if is_one(a) else a for a, b in zip(own, other, strict=True)])


def is_one(n: int) -> bool:
    """Whether a size is 1, whatever the open ones are."""
    return not isinstance(n, Size) and n == 1


def _concat(at: At, *parts: Node) -> Node:
    axis = axis_of(at.get("axis", 1), len(parts[0].shape))
    return make.concat(parts, axis)


def _split(at: At, x: Node, lengths: Node | None = None) -> tuple[Node, ...]:
    axis, count = axis_of(at.get("axis", 0), len(x.shape)), at.get("num_outputs", len(at.outputs))
    given = at.given(lengths, "split")
    n = x.shape[axis]
    if count != len(at.outputs):
        raise Unsupported(f"{count} parts as {len(at.outputs)} outputs")
    if given is None:
        each = -(-n // count)
        given = (*[each] * (count - 1), n - each * (count - 1))
    found, start = [], 0
    for size in given:
        found.append(cut(x, axis, start, start + size))
        start = start + size
    return tuple(found)


def cut(x: Node, axis: int, start: int, stop: int, step: int = 1) -> Node:
    """x[start:stop:step] along an axis; of an open size only whole, or from a known place with a known length."""
    n = x.shape[axis]
    whole = not isinstance(start, Size) and start == 0 and step == 1 and same(stop, n)
    if whole:
        return x
    if any(isinstance(v, Size) for v in (n, start, stop)):
        length = larger(stop - start, 0)
        if isinstance(start, Size) or isinstance(length, Size):
            return open_cut(x, axis, start, length, step)
    return make.index(x, axis, (start, stop, step))


def open_cut(x: Node, axis: int, start: int, length: int, step: int) -> Node:
    """A slice whose length is open: the elements at start, start + step, ..."""
    count = larger((length + step - 1) // step, 0)  # which a quotient of sizes does not show
    return apply(ops.Take(axis), x, node_of(Arange(start, step, count)))


def same(a: int, b: int) -> bool:
    """Whether two sizes are one, whatever the open ones are."""
    if isinstance(a, Size) or isinstance(b, Size):
        return isinstance(a, Size) and isinstance(b, Size) and a.terms == b.terms
    return a == b


def _slice(at: At, x: Node, starts: Node | None = None, ends: Node | None = None, axes: Node | None = None,
           steps: Node | None = None) -> Node:  # fmt: skip
    first, stop = at.given(starts, "starts") or (), at.given(ends, "ends") or ()
    chosen = at.given(axes, "axes") or tuple(range(len(first)))
    stride = at.ints(steps, "steps") or (1,) * len(first)
    for start, end, axis, step in zip(first, stop, chosen, stride, strict=True):
        axis = axis_of(axis, len(x.shape))
        n = x.shape[axis]
        if not any(isinstance(v, Size) for v in (start, end, n)):
            part = make.part(start, end, step, n)
            if part != slice(0, n, 1):
                x = make.index(x, axis, (part.start, part.stop, part.step))
        elif step > 0:
            x = cut(x, axis, bound(start, n), bound(end, n), step)
        else:
            x = _backwards(x, axis, start, end, step)
    return x


def _backwards(x: Node, axis: int, start: int, end: int, step: int) -> Node:
    if isinstance(start, Size) or isinstance(end, Size) or step != -1 or start != -1 or end > -FAR:
        raise Unsupported("a slice that goes backwards over an open size")
    return apply(ops.Flip((axis,)), x)


def bound(at: int, n: int) -> int:
    """A start or end, counted from the front and inside an axis of open size."""
    if isinstance(at, Size):
        return smaller(at, n)
    if at >= FAR - 1:
        return n
    return larger(n + at, 0) if at < 0 else smaller(at, n) if at else 0


def _tile(at: At, x: Node, repeats: Node, *old: Node) -> Node:
    times = at.ints(repeats, "repeats") or ()
    if old:  # opset 1: one axis
        axis = int(at.number(old[0], "axis"))
        times = tuple(times[0] if i == axis else 1 for i in range(len(x.shape)))
    wide = reshape(x, [n for size in x.shape for n in (1, size)])
    shape = [n for size, t in zip(x.shape, times, strict=True) for n in (t, size)]
    made = make.broadcast(wide, shape)
    return reshape(made, [t if is_one(n) else n * t for n, t in zip(x.shape, times, strict=True)])


def _pad(at: At, x: Node, pads: Node | None = None, value: Node | None = None, axes: Node | None = None) -> Node:
    given = at.given(pads, "pads" if "pads" in at.attributes else "paddings") or ()
    rank = len(x.shape)
    chosen = [axis_of(a, rank) for a in (at.ints(axes, "axes") or range(rank))]
    half = len(given) // 2
    widths: list[tuple[int, int]] = [(0, 0)] * rank
    for i, axis in enumerate(chosen):
        widths[axis] = (given[i], given[half + i])
    mode = at.get("mode", "constant")
    number = at.get("value", 0.0) if value is None else at.number(value, "constant_value")
    if all(n == (0, 0) for n in widths):
        return x
    return apply(ops.Pad(tuple(widths), mode, number), x)


def _constant(at: At) -> Node:
    for name in ("value", "value_float", "value_floats", "value_int", "value_ints", "value_string", "value_strings"):
        if name in at.attributes:
            value = at.get(name)
            if name == "value":
                return const(value)
            kind = "float32" if "float" in name else "int64" if "int" in name else "object"
            return const(numpy.array(value, dtype=kind))
    raise Unsupported("a constant without a value that is read")


def _constant_of_shape(at: At, shape: Node) -> Node:
    wanted = at.ints(shape, "shape") or ()
    value = at.get("value")
    value = numpy.zeros(1, dtype="float32") if value is None else value
    return filled(value.reshape(-1)[0], str(value.dtype), wanted)


def filled(number: Any, dtype: str, shape: Sequence[int]) -> Node:
    """One number in a shape."""
    if not make.affords(Type(tuple(shape), dtype)):
        return make.broadcast(const(numpy.full((1,) * len(shape), number), dtype), shape)
    return const(numpy.full(tuple(shape), number, dtype=numpy_dtype(dtype)))


def _shape(at: At, x: Node) -> Node:
    rank = len(x.shape)
    start, end = at.get("start", 0), at.get("end", rank)
    return make.sizes(list(x.shape[slice(start, end)]))


def _size(at: At, x: Node) -> Node:
    return make.sizes(math.prod(x.shape))


def _range(at: At, start: Node, limit: Node, step: Node) -> Node:
    ends = [make.sizes_in(v) for v in (start, limit, step)]
    if any(e is None for e in ends) or isinstance(ends[2].reshape(-1)[0], Size):  # type: ignore[union-attr]
        named = ((start, "start"), (limit, "limit"), (step, "delta"))
        numbers = [at.array(v, name).reshape(-1)[0] for v, name in named]
        count = max(math.ceil((float(numbers[1]) - float(numbers[0])) / float(numbers[2])), 0)
        make.afford("a range", (count,), start.type.dtype)
        return const(numbers[0] + numpy.arange(count) * numbers[2], start.type.dtype)
    first, last, by = (e.reshape(-1)[0] for e in ends)  # type: ignore[union-attr]
    if not any(isinstance(v, Size) for v in (first, last)):
        count, dtype = len(range(first, last, by)), start.type.dtype
        fits = make.affords(Type((count,), dtype))
        return const(numpy.arange(first, last, by), dtype) if fits else node_of(Arange(first, by, count, dtype))
    if by <= 0:
        raise Unsupported("a range that counts down from an open size")
    return node_of(Arange(first, by, -(-(last - first) // by), start.type.dtype))


def _eye(at: At, x: Node) -> Node:
    dtype = NAMES[at.get("dtype")] if at.get("dtype") else x.type.dtype
    if any(isinstance(n, Size) for n in x.shape):
        raise Unsupported("of an open size")
    make.afford("an identity", x.shape, dtype)
    return const(numpy.eye(x.shape[0], x.shape[1], k=at.get("k", 0)), dtype)


def _depth_to_space(at: At, x: Node) -> Node:
    b, (n, c, h, w) = at.get("blocksize"), x.shape
    if at.get("mode", "DCR") == "DCR":
        y = permute(reshape(x, (n, b, b, c // (b * b), h, w)), (0, 3, 4, 1, 5, 2))
    else:
        y = permute(reshape(x, (n, c // (b * b), b, b, h, w)), (0, 1, 4, 2, 5, 3))
    return reshape(y, (n, c // (b * b), h * b, w * b))


def _space_to_depth(at: At, x: Node) -> Node:
    b, (n, c, h, w) = at.get("blocksize"), x.shape
    if at.get("mode", "DCR") == "DCR":
        y = permute(reshape(x, (n, c, h // b, b, w // b, b)), (0, 3, 5, 1, 2, 4))
    else:
        y = permute(reshape(x, (n, c, h // b, b, w // b, b)), (0, 1, 3, 5, 2, 4))
    return reshape(y, (n, c * b * b, h // b, w // b))


def _identity(at: At, x: Any) -> Any:
    return x


ROWS: dict[str, Row] = {
    "Reshape": Row(_reshape, {ops.Reshape: shape_writers.write_reshape}, in_float32=False),
    "Flatten": Row(_flatten, in_float32=False),
    "Transpose": Row(_transpose, {ops.Permute: lambda w, node, x: w.transpose(x, node.op.axes),
                                  ops.Transpose: shape_writers.write_transpose}, in_float32=False),
    "Squeeze": Row(_squeeze, in_float32=False),
    "Unsqueeze": Row(_unsqueeze, in_float32=False),
    "Expand": Row(_expand, {ops.BroadcastTo: lambda w, node, x: w.add("Expand", (x, w.shape(node.shape)))},
                  in_float32=False),
    "Concat": Row(_concat, {ops.Concat: lambda w, node, *p: w.add("Concat", p, axis=node.op.axis % len(node.shape)),
                            ops.Stack: shape_writers.write_stack}, in_float32=False),
    "Split": Row(_split, {ops.Split: shape_writers.write_split}, in_float32=False),
    "Slice": Row(_slice, {ops.GetItem: shape_writers.write_index, ops.Flip: shape_writers.write_flip,
                          ops.UnDilate: shape_writers.write_undilate},
                 in_float32=False),
    "Tile": Row(_tile, in_float32=False),
    "Pad": Row(_pad, {ops.Pad: shape_writers.write_pad, ops.Dilate: shape_writers.write_dilate}, in_float32=False),
    "Constant": Row(_constant, in_float32=False),
    "ConstantOfShape": Row(_constant_of_shape, in_float32=False),
    "Shape": Row(_shape, in_float32=False),
    "Size": Row(_size, in_float32=False),
    "Range": Row(_range, {Arange: lambda w, node: w.arange(node.op)}, in_float32=False),
    "EyeLike": Row(_eye, in_float32=False),
    "DepthToSpace": Row(_depth_to_space, in_float32=False),
    "SpaceToDepth": Row(_space_to_depth, in_float32=False),
    "Identity": Row(_identity, in_float32=False),
}  # fmt: skip
