"""Pooling, of images by needle's kernels and along other axes in general."""

from __future__ import annotations

from typing import Any

from needle import ops
from needle.sizes import Size

from ...ir import Node
from .. import make
from ..at import At
from ..dtypes import is_float
from ..make import Unsupported, apply
from ..ops import Col2Im, MaxPoolIndices, MaxUnpool, MeanPool, NormPool, Windows
from ..row import Row
from .products import first_channels, last_channels, windows


def _windows(at: At, x: Node) -> Windows:
    kernel = at.get("kernel_shape")
    stride, padding, dilation = windows(at, x.shape[2:], kernel)
    return Windows(tuple(kernel), tuple(stride), tuple(padding), tuple(dilation), bool(at.get("ceil_mode", 0)))


def _plain(w: Windows, x: Node) -> bool:
    """Whether needle's pooling of images is this: even padding less than a window, no dilation, no hanging window."""
    if len(w.kernel) != 2 or not is_float(x.type.dtype) or any(d != 1 for d in w.dilation):
        return False
    if any(a != b or 2 * a > k for (a, b), k in zip(w.padding, w.kernel, strict=True)):
        return False
    return not w.ceil or (not any(isinstance(n, Size) for n in x.shape[2:]) and _floor(w, x.shape[2:]))


def _pairs(w: Windows) -> Any:
    """(kernel, stride, padding) as needle's pools have them."""
    return w.kernel, w.stride, tuple(a for a, _ in w.padding)


def _floor(w: Windows, size: Any) -> bool:
    return w.counts(size) == Windows(w.kernel, w.stride, w.padding, w.dilation).counts(size)


def _max_pool(at: At, x: Node) -> Any:
    w = _windows(at, x)
    if x.type.dtype in ("int8", "uint8") and not at.wants(1):  # which float32 holds
        return make.cast(_max_pool(at, make.cast(x, "float32")), x.type.dtype)
    if _plain(w, x) and not at.wants(1):
        op = ops.MaxPool(*_pairs(w))
        return first_channels(apply(op, last_channels(x)))
    rows = not at.get("storage_order", 0)
    y, places = make.items(MaxPoolIndices(w.kernel, w.stride, w.padding, w.dilation, w.ceil, rows), x)
    return (y, places) if at.wants(1) else y


def average_pool(at: At, x: Node) -> Node:
    """Means of windows."""
    w, count = _windows(at, x), bool(at.get("count_include_pad", 0))
    if _plain(w, x) and (count or not any(map(any, w.padding))):
        op = ops.AvgPool(*_pairs(w))
        return first_channels(apply(op, last_channels(x)))
    return apply(MeanPool(w.kernel, w.stride, w.padding, w.dilation, w.ceil, count), x)


def _lp_pool(at: At, x: Node) -> Node:
    w = _windows(at, x)
    return apply(NormPool(w.kernel, w.stride, w.padding, w.dilation, w.ceil, int(at.get("p", 2))), x)


def _global(kind: str) -> Any:
    def read(at: At, x: Node) -> Node:
        axes = tuple(range(2, len(x.shape)))
        if kind == "mean":
            return make.mean(x, axes, True)
        if kind == "max":
            return apply(ops.Max(axes, True), x)
        p = at.get("p", 2)
        powers = apply(ops.PowerScalar(float(p)), apply(ops.Abs(), x))
        return apply(ops.PowerScalar(1 / p), make.total(powers, axes, True))

    return read


def _max_unpool(at: At, x: Node, places: Node, shape: Node | None = None) -> Node:
    kernel = at.get("kernel_shape")
    stride, pads = at.get("strides") or (1,) * len(kernel), at.get("pads") or (0,) * (2 * len(kernel))
    rows = zip(x.shape[2:], kernel, stride, pads[: len(kernel)], pads[len(kernel) :], strict=True)
    inner = (*x.shape[:2], *((n - 1) * s + k - a - b for n, k, s, a, b in rows))
    wanted = at.ints(shape, "output_shape")
    return apply(MaxUnpool(tuple(wanted) if wanted else inner, inner), x, places)


def _col2im(at: At, x: Node, image: Node, block: Node) -> Node:
    size, kernel = at.ints(image, "image_shape") or (), at.ints(block, "block_shape") or ()
    stride, padding, dilation = windows(at, tuple(size), tuple(kernel))
    return apply(Col2Im(tuple(kernel), tuple(stride), tuple(padding), tuple(dilation), False, tuple(size)), x)


# -- export ------------------------------------------------------------------------------------------------------------


def _write_pool(operator: str, **more: int) -> Any:
    def write(w: Any, node: Node, x: str) -> Any:
        op = node.op
        y = w.add(operator, (w.transpose(x, (0, 3, 1, 2)),), kernel_shape=list(op.kernel), strides=list(op.stride),
                  pads=[*op.padding, *op.padding], **more)  # fmt: skip
        return w.transpose(y, (0, 2, 3, 1))

    return write


def _write_adaptive(operator: str, whole: str) -> Any:
    """Windows that divide the image evenly are a pool; others have no operator."""

    def write(w: Any, node: Node, x: str) -> Any:
        size, out = node.inputs[0].shape[1:3], node.op.size
        x = w.transpose(x, (0, 3, 1, 2))
        if tuple(out) == (1, 1):
            y = w.add(whole, (x,))
        else:
            if any(isinstance(n, Size) or n % m for n, m in zip(size, out, strict=True)):
                raise Unsupported(f"ONNX has no pooling of {size} to {tuple(out)}: windows of different sizes")
            steps = [n // m for n, m in zip(size, out, strict=True)]
            y = w.add(operator, (x,), kernel_shape=steps, strides=steps)
        return w.transpose(y, (0, 2, 3, 1))

    return write


def _write_windows(operator: str, **more: Any) -> Any:
    def write(w: Any, node: Node, x: str) -> Any:
        v = node.op.windows
        w.needs(19 if operator == "AveragePool" else 12, operator)
        pads = [a for a, _ in v.padding] + [b for _, b in v.padding]
        extra = {name: value(node.op) for name, value in more.items()}
        return w.add(operator, (x,), results=2 if operator == "MaxPool" else 1, kernel_shape=list(v.kernel),
                     strides=list(v.stride), dilations=list(v.dilation), pads=pads, ceil_mode=int(v.ceil),
                     **extra)  # fmt: skip

    return write


ROWS: dict[str, Row] = {
    "MaxPool": Row(_max_pool, {ops.MaxPool: _write_pool("MaxPool"),
                               ops.AdaptiveMaxPool: _write_adaptive("MaxPool", "GlobalMaxPool"),
                               MaxPoolIndices: _write_windows("MaxPool", storage_order=lambda op: int(
                                   not op.row_major))}),
    "AveragePool": Row(average_pool, {ops.AvgPool: _write_pool("AveragePool", count_include_pad=1),
                                       ops.AdaptiveAvgPool: _write_adaptive("AveragePool", "GlobalAveragePool"),
                                       MeanPool: _write_windows("AveragePool", count_include_pad=lambda op: int(
                                           op.counted))}),
    "LpPool": Row(_lp_pool),
    "GlobalAveragePool": Row(_global("mean")),
    "GlobalMaxPool": Row(_global("max")),
    "GlobalLpPool": Row(_global("norm")),
    "MaxUnpool": Row(_max_unpool),
    "Col2Im": Row(_col2im),
}  # fmt: skip
