"""Matrix products and convolutions. ONNX has images as (N, C, H, W); inside they are channels-last."""

from __future__ import annotations

from typing import Any

from needle import ops
from needle.ops.attributes import pair
from needle.sizes import Size

from ...fused_ops import FusedConv, FusedGroupedConv, FusedMatMul
from ...ir import Node
from .. import make
from ..at import At
from ..dtypes import is_float
from ..make import Unsupported, add, apply, cast, matmul, permute, reshape, scale
from ..row import Refused, Row, written

Widths = tuple[tuple[int, int], ...]


def _matmul(at: At, a: Node, b: Node) -> Node:
    if not is_float(a.type.dtype):
        return cast(_floats(cast(a, "float64"), cast(b, "float64")), a.type.dtype)
    return _floats(a, b)


def _floats(a: Node, b: Node) -> Node:
    """a @ b, where an operand of one axis is a row or a column."""
    one, other = len(a.shape) == 1, len(b.shape) == 1
    wide_a = reshape(a, (1, *a.shape)) if one else a
    wide_b = reshape(b, (*b.shape, 1)) if other else b
    y = matmul(wide_a, wide_b)
    shape = list(y.shape)
    if other:
        shape.pop()
    if one:
        shape.pop(-1 if other else -2)
    return reshape(y, shape) if one or other else y


def _gemm(at: At, a: Node, b: Node, c: Node | None = None) -> Node:
    dtype = a.type.dtype
    if not is_float(dtype):
        a, b, c = (None if x is None else cast(x, "float64") for x in (a, b, c))  # type: ignore[assignment]
    a = permute(a, (1, 0)) if at.get("transA", 0) else a
    b = permute(b, (1, 0)) if at.get("transB", 0) else b
    y = scale(matmul(a, b), at.get("alpha", 1.0))
    beta = at.get("beta", 1.0)
    if c is not None and beta != 0:
        y = add(y, make.broadcast(scale(c, beta), y.shape))
    return cast(y, dtype)


def windows(at: At, size: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[Any, Any, Any]:
    """(stride, padding, dilation) of each axis: auto_pad counted out, for the sizes of the image."""
    rank = len(kernel)
    stride = at.get("strides") or (1,) * rank
    dilation = at.get("dilations") or (1,) * rank
    auto = at.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        found = []
        for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
            if isinstance(n, Size) and s != 1:
                raise Unsupported(f"auto_pad {auto} of an open size with stride {s}")
            room = (k - 1) * d if s == 1 else max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
            less, more = room // 2, room - room // 2
            found.append((less, more) if auto == "SAME_UPPER" else (more, less))
        return stride, tuple(found), dilation
    flat = at.get("pads") or (0,) * (2 * rank) if auto != "VALID" else (0,) * (2 * rank)
    return stride, tuple(zip(flat[:rank], flat[rank:], strict=True)), dilation


def last_channels(x: Node) -> Node:
    """(N, C, *S) as (N, *S, C)."""
    return permute(x, (0, *range(2, len(x.shape)), 1))


def first_channels(x: Node) -> Node:
    """(N, *S, C) as (N, C, *S)."""
    return permute(x, (0, len(x.shape) - 1, *range(1, len(x.shape) - 1)))


def _conv(at: At, x: Node, w: Node, bias: Node | None = None) -> Node:
    kernel = tuple(w.shape[2:])
    if any(isinstance(n, Size) for n in w.shape):
        raise Unsupported("a weight of open size")
    stride, padding, dilation = windows(at, x.shape[2:], kernel)
    turned = permute(w, (*range(2, len(w.shape)), 1, 0))
    y = convolved(last_channels(x), turned, stride, padding, dilation, at.get("group", 1))
    return first_channels(y if bias is None else add(y, make.broadcast(bias, y.shape)))


def convolved(x: Node, w: Node, stride: Any, padding: Widths, dilation: Any, groups: int) -> Node:
    """The convolution of x (N, *S, C): needle's for images with square windows, else the general one.

    Padding that differs before and after an axis is a Pad in front.
    """
    square = len(stride) == 2 and w.shape[0] == w.shape[1] and stride[0] == stride[1] and dilation[0] == dilation[1]
    if not square:
        return apply(ops.ConvND(tuple(stride), padding, tuple(dilation), groups), x, w)
    even = all(a == b for a, b in padding)
    if not even:
        least = [min(p) for p in padding]
        x = apply(ops.Pad(((0, 0), *((a - n, b - n) for (a, b), n in zip(padding, least, strict=True)), (0, 0))), x)
        padding = tuple((n, n) for n in least)
    rows, columns = padding[0][0], padding[1][0]
    return apply(ops.Conv(stride[0], rows if rows == columns else (rows, columns), groups, dilation[0]), x, w)


def _conv_transpose(at: At, x: Node, w: Node, bias: Node | None = None) -> Node:
    kernel, groups, size = tuple(w.shape[2:]), at.get("group", 1), x.shape[2:]
    rank = len(kernel)
    stride, dilation = at.get("strides") or (1,) * rank, at.get("dilations") or (1,) * rank
    extra = at.get("output_padding") or (0,) * rank
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    wide = [(n - 1) * s + r + e for n, s, r, e in zip(size, stride, reach, extra, strict=True)]
    auto, wanted = at.get("auto_pad", "NOTSET"), at.get("output_shape")
    if wanted is not None or auto in ("SAME_UPPER", "SAME_LOWER"):
        wanted = wanted or tuple(n * s for n, s in zip(size, stride, strict=True))
        padding = []
        for have, want in zip(wide, wanted, strict=True):
            room = max(have - want, 0)
            less, more = room // 2, room - room // 2
            padding.append((less, more) if auto == "SAME_UPPER" else (more, less))
    else:
        flat = at.get("pads") or (0,) * (2 * rank)
        padding = list(zip(flat[:rank], flat[rank:], strict=True))
    if any(e >= s and e >= d for e, s, d in zip(extra, stride, dilation, strict=True) if e):
        raise Unsupported(f"output_padding {extra} with strides {stride}")
    out = tuple(wanted or (n - a - b for n, (a, b) in zip(wide, padding, strict=True)))
    # the weight (C, O / groups, *K) of the transposed map is (*K, O / groups, C) of the map itself
    turned = permute(w, (*range(2, len(w.shape)), 1, 0))
    given = last_channels(x)
    square = rank == 2 and kernel[0] == kernel[1] and stride[0] == stride[1] and dilation[0] == dilation[1]
    rows = zip(size, out, padding, reach, stride, strict=True)
    fits = all(n == (o + 2 * p[0] - r) // s + 1 for n, o, p, r, s in rows)
    if square and fits and all(not isinstance(n, Size) for n in out):
        pads = padding[0][0] if padding[0][0] == padding[1][0] else (padding[0][0], padding[1][0])
        op: Any = ops.ConvInputGradient(stride[0], pads, out[0], out[1], groups, dilation[0])
    else:
        op = ops.ConvNDInputGradient(tuple(stride), tuple(_balanced(size, out, padding, reach, stride)),
                                     tuple(dilation), groups, out)  # fmt: skip
    y = apply(op, given, turned)
    return first_channels(y if bias is None else add(y, make.broadcast(bias, y.shape)))


def _balanced(size: Any, out: Any, padding: Any, reach: Any, stride: Any) -> Any:
    """The padding of the map whose adjoint this is: more behind where output_padding adds places."""
    for n, o, (a, _), r, s in zip(size, out, padding, reach, stride, strict=True):
        yield a, max((n - 1) * s + r - a - o, 0)


# -- export ------------------------------------------------------------------------------------------------------------


def _to_first(w: Any, name: str, rank: int) -> Any:
    return w.transpose(name, (0, rank - 1, *range(1, rank - 1)))


def _to_last(w: Any, name: str, rank: int) -> Any:
    return w.transpose(name, (0, *range(2, rank), 1))


def _write_conv(w: Any, node: Node, x: str, weight: str, *more: str) -> Any:
    op = node.op
    if isinstance(op, ops.ConvND):
        rank, stride, dilation, groups = len(op.stride), list(op.stride), list(op.dilation), op.groups
        pads = [a for a, _ in op.padding] + [b for _, b in op.padding]
    else:
        rank, stride = 2, [op.stride] * 2
        dilation, groups = [getattr(op, "dilation", 1)] * 2, getattr(op, "groups", 1)
        pads = [*pair(op.padding)] * 2
    kernel = list(node.inputs[1].shape[:rank])
    filters = w.transpose(weight, (rank + 1, rank, *range(rank)))
    steps = list(getattr(op, "epilogue", ()))
    rest = iter(more)
    given = [_to_first(w, x, rank + 2), filters]
    if steps[:1] == ["bias"]:
        given.append(next(rest))
        steps.pop(0)
    y = w.add("Conv", given, strides=stride, pads=pads, dilations=dilation, group=groups, kernel_shape=kernel)
    return _epilogue(w, _to_last(w, y, rank + 2), steps, rest)


def _epilogue(w: Any, y: str, steps: list[str], rest: Any) -> Any:
    for step in steps:
        match step:
            case "relu":
                y = w.add("Relu", (y,))
            case "relu6":
                y = w.add("Clip", (y, w.number(0.0), w.number(6.0)))
            case "silu":
                y = w.add("Mul", (y, w.add("Sigmoid", (y,))))
            case "hard_sigmoid":
                y = w.add("HardSigmoid", (y,), alpha=1 / 6, beta=0.5)
            case "hard_swish":
                y = w.add("Mul", (y, w.add("HardSigmoid", (y,), alpha=1 / 6, beta=0.5)))
            case _:
                y = w.add("Add", (y, next(rest)))
    return y


def _write_transposed(w: Any, node: Node, g: str, weight: str) -> Any:
    op = node.op
    if isinstance(op, ops.ConvNDInputGradient):
        rank, stride, dilation = len(op.stride), list(op.stride), list(op.dilation)
        padding, out = op.padding, list(op.size)
    else:
        rank, stride, dilation, out = 2, [op.stride] * 2, [op.dilation] * 2, [op.height, op.width]
        padding = tuple((p, p) for p in pair(op.padding))
    kernel = list(node.inputs[1].shape[:rank])
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    size = node.inputs[0].shape[1 : 1 + rank]
    wide = [(n - 1) * s + r - a - b for n, s, r, (a, b) in zip(size, stride, reach, padding, strict=True)]
    extra = [o - n for o, n in zip(out, wide, strict=True)]
    pads = [a for a, _ in padding] + [b for _, b in padding]
    filters = w.transpose(weight, (rank + 1, rank, *range(rank)))
    y = w.add("ConvTranspose", (_to_first(w, g, rank + 2), filters), strides=stride, pads=pads, dilations=dilation,
              group=op.groups, kernel_shape=kernel, output_padding=[int(n) for n in extra])  # fmt: skip
    return _to_last(w, y, rank + 2)


def _write_fused(w: Any, node: Node, a: str, b: str, *more: str) -> Any:
    return _epilogue(w, w.add("MatMul", (a, b)), list(node.op.epilogue), iter(more))


ROWS: dict[str, Row | Refused] = {
    "MatMul": Row(_matmul, {ops.MatMul: written("MatMul"), FusedMatMul: _write_fused}),
    "Gemm": Row(_gemm),
    "Conv": Row(_conv, dict.fromkeys((ops.Conv, ops.ConvND, FusedConv, FusedGroupedConv), _write_conv)),
    "ConvTranspose": Row(_conv_transpose, {ops.ConvInputGradient: _write_transposed,
                                           ops.ConvNDInputGradient: _write_transposed}),
}  # fmt: skip
