"""Fourier transforms as products with the matrices of their sines and cosines."""

from __future__ import annotations

from typing import Any

import numpy

from needle import ops

from ..fused_ops import Unfold
from ..ir import Node
from ..onnx.make import Unsupported
from ..onnx.ops import DFT, STFT
from .arithmetic import add, apply, at, const, known_sizes, mul, permute, reshape, slices, stack, sub


def _waves(length: int, bins: int, sign: float) -> Any:
    """e^(sign 2 pi i t k / length), (length, bins)"""
    turns = numpy.outer(numpy.arange(length), numpy.arange(bins)) % length
    return numpy.exp(sign * 2j * numpy.pi * turns / length)


def _times(real: Node, imaginary: Node | None, matrix: Any) -> tuple[Node, Node]:
    """Real and imaginary part of rows times a complex matrix."""
    c, s = (const(part, real.type.dtype) for part in (matrix.real, matrix.imag))
    product = ops.MatMul()
    y, z = apply(product, real, c), apply(product, real, s)
    if imaginary is None:
        return y, z
    return sub(y, apply(product, imaginary, s)), add(z, apply(product, imaginary, c))


def _transform(node: Node) -> Node:
    op, (x,) = node.op, node.inputs
    axis, rank, length = op.axis, len(x.shape), op.length
    (n,) = known_sizes(x.shape[axis])
    complex_values = x.shape[-1] == 2
    order = [k for k in range(rank) if k not in (axis, rank - 1)] + [axis, rank - 1]
    rows = permute(x, order)
    real = at(rows, rank - 1, 0)
    imaginary = at(rows, rank - 1, 1) if complex_values else None
    if op.onesided and op.inverse:  # the other half of the bins is the conjugate of this one
        bins = length // 2 + 1
        twice = numpy.full((bins, 1), 2.0)
        twice[0] = 1
        if length % 2 == 0:
            twice[-1] = 1
        matrix = (_waves(length, bins, 1.0).T * twice)[:n] / length
        y, _ = _times(_cut(real, bins), None if imaginary is None else _cut(imaginary, bins), _rows(matrix, n, bins))
        y = reshape(y, (*y.shape, 1))
    else:
        bins = length // 2 + 1 if op.onesided else length
        matrix = _waves(length, bins, 1.0 if op.inverse else -1.0) / (length if op.inverse else 1)
        imaginary = None if op.onesided or imaginary is None else _cut(imaginary, length)
        y = stack(list(_times(_cut(real, length), imaginary, matrix[:n])), rank - 1)
    return permute(y, [order.index(k) for k in range(rank)])


def _cut(x: Node, length: int) -> Node:
    """The first `length` of each row; what is missing is 0, and left out of the matrix."""
    n = x.shape[-1]
    return x if n <= length else slices(x, len(x.shape) - 1, 0, length)


def _rows(matrix: Any, n: int, bins: int) -> Any:
    return matrix[: min(n, bins)]


def _frames(node: Node) -> Node:
    op, (x, *window) = node.op, node.inputs
    if len(x.shape) == 3 and x.shape[-1] == 2:
        raise Unsupported("of complex signals")
    signal = at(x, 2, 0) if len(x.shape) == 3 else x
    frames, bins = node.shape[1:3]
    seen = apply(Unfold(1, (op.length,), (op.step,), ((0, 0),), (1,), (frames,)), signal)  # (N, frames, length)
    if window:
        (w,) = window
        before = (op.length - w.shape[0]) // 2
        after = op.length - w.shape[0] - before
        seen = mul(seen, apply(ops.Pad(((before, after),)), w) if before or after else w)
    return stack(list(_times(seen, None, _waves(op.length, bins, -1.0))), 3)


TABLE: dict[type, Any] = {DFT: _transform, STFT: _frames}
