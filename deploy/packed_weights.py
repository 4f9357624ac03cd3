"""Weights in the layouts that kernels read: functions of them, so that they run again on other weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy

from needle.autograd import TensorOp
from needle.errors import ShapeError
from needle.types import Type

from .arrays import as_numpy, double, like


@dataclass(frozen=True)
class Pack(TensorOp):
    """(K, N) as [ceil(N / 16)][K][16], zeros behind column N: the layout of weights in csrc/nd/direct_conv.h"""

    def infer(self, x: Type) -> Type:
        """(ceil(N / 16), K, 16)."""
        if len(x.shape) != 2:
            raise ShapeError(f"[pack] needs a matrix, got {x.shape}")
        return Type((-(-x.shape[1] // 16), x.shape[0], 16), x.dtype)

    def compute(self, x: Any) -> Any:
        rows, columns = x.shape  # no rows where a convolution reads nothing but padding
        blocks = -(-columns // 16)
        padded = numpy.zeros((rows, blocks * 16), dtype=x.dtype)
        padded[:, :columns] = as_numpy(x)
        return like(x, padded.reshape(rows, blocks, 16).transpose(1, 0, 2))


@dataclass(frozen=True)
class TransposedPack(TensorOp):
    """Weights (K, K, I, O) of a transposed convolution of maps (rows, columns) to (height, width), phase by phase

    Outputs S apart use the same taps: those of a phase are [ceil(O / 16)][tap rows][tap columns][I][16], zeros behind
    column O, taps in the order in which the map is read (csrc/nd/conv_gradients.h).
    """

    stride: int
    padding: int
    height: int
    width: int
    rows: int
    columns: int

    def infer(self, w: Type) -> Type:
        """All phases in a row."""
        kernel, _, depth, out = w.shape
        taps = sum(len(a) * len(b) for a, b in self._phases(kernel))
        return Type((taps * depth * -(-out // 16) * 16,), w.dtype)

    def compute(self, w: Any) -> Any:
        array, (kernel, _, depth, out) = as_numpy(w), w.shape
        padded = numpy.zeros((kernel, kernel, depth, -(-out // 16) * 16), dtype=w.dtype)
        padded[..., :out] = array
        parts = [
            padded[numpy.ix_(a, b)].reshape(len(a) * len(b) * depth, -(-out // 16), 16).transpose(1, 0, 2).reshape(-1)
            for a, b in self._phases(kernel)
        ]
        return like(w, numpy.concatenate(parts))

    def _phases(self, kernel: int) -> list[tuple[list[int], list[int]]]:
        """The rows and the columns of the taps of each phase."""
        down, across = (
            [taps_of_phase(size, inputs, kernel, self.stride, self.padding, k) for k in range(min(self.stride, size))]
            for size, inputs in ((self.height, self.rows), (self.width, self.columns))
        )
        return [(a, b) for a in down for b in across]


def taps_of_phase(size: int, inputs: int, kernel: int, stride: int, padding: int, first: int) -> list[int]:
    """The taps that the outputs first, first + stride, ... use along an axis; as `conv_phase` of conv_gradients.h."""
    tap, q = (first + padding) % stride, (first + padding) // stride
    low, high = max(0, q - inputs + 1), min(q + -(-(size - first) // stride), max(0, -(-(kernel - tap) // stride)))
    return [tap + stride * i for i in reversed(range(low, high))]


POINTS = {  # of F(outputs, taps), beside infinity; csrc/nd/winograd_points.h
    (2, 3): (0.0, 1.0, -1.0), (4, 3): (0.0, 3 / 4, -3 / 4, 3 / 2, -3 / 2),
    (2, 2): (0.0, 1.0), (4, 2): (1 / 2, -1 / 2, 3 / 2, -3 / 2),
}  # fmt: skip


def taps_at_points(outputs: int, taps: int) -> list[list[float]]:
    """G of F(outputs, taps): at the point p, sum over t of p^t w[t] over the product of p - q for other points q."""
    points = POINTS[outputs, taps]
    rows = [[p**t / math.prod(p - q for q in points if q != p) for t in range(taps)] for p in points]
    return [*rows, [0.0] * (taps - 1) + [1.0]]


@dataclass(frozen=True)
class WinogradPack(TensorOp):
    """G w G^T for every channel and column of w (T, T, I, O), as [ceil(O / 16)][points][I][16], zeros behind column O

    The layout of weights in csrc/nd/winograd_conv.h: (`outputs` + T - 1)^2 points, computed in double precision.
    """

    outputs: int = 4

    def infer(self, w: Type) -> Type:
        """(ceil(O / 16), (outputs + T - 1)^2, I, 16)."""
        if len(w.shape) != 4 or w.shape[0] != w.shape[1] or (self.outputs, w.shape[0]) not in POINTS:
            needed = "w (T, T, I, O) of 2 or 3 taps and 2 or 4 outputs"
            raise ShapeError(f"[winograd pack] needs {needed}, got {w.shape}, {self.outputs}")
        return Type((-(-w.shape[3] // 16), (self.outputs + w.shape[0] - 1) ** 2, w.shape[2], 16), w.dtype)

    def compute(self, w: Any) -> Any:
        taps, matrix = double(w), taps_at_points(self.outputs, w.shape[0])
        down = [sum(g * taps[i] for i, g in enumerate(row)) for row in matrix]  # products one by one: BLAS has no order
        points = [sum(g * each[i] for i, g in enumerate(row)) for each in down for row in matrix]
        channels, columns = w.shape[2:]
        packed = numpy.zeros((len(points), channels, -(-columns // 16) * 16))
        packed[:, :, :columns] = points
        return like(w, packed.reshape(len(points), channels, -1, 16).transpose(2, 0, 1, 3))


@dataclass(frozen=True)
class WinogradTransposedPack(TensorOp):
    """G w G^T of each phase of a transposed convolution with w (2 S, 2 S, I, O) and stride S

    Along each axis the outputs k, k + S, ... meet the taps t + S and t, in this order, with t = (k + padding) mod S.
    """

    stride: int
    padding: int
    outputs: int = 4

    def infer(self, w: Type) -> Type:
        """(S^2, ceil(O / 16), (outputs + 1)^2, I, 16)."""
        if w.shape[:2] != (2 * self.stride, 2 * self.stride):
            raise ShapeError(f"[winograd pack] needs a kernel of twice the stride {self.stride}, got {w.shape}")
        phase = WinogradPack(self.outputs).infer(Type((2, 2, *w.shape[2:]), w.dtype))
        return Type((self.stride**2, *phase.shape), w.dtype)

    def compute(self, w: Any) -> Any:
        array, pack = as_numpy(w), WinogradPack(self.outputs)
        first = [(k + self.padding) % self.stride for k in range(self.stride)]
        taps = [[tap + self.stride, tap] for tap in first]
        return like(w, numpy.stack([pack.compute(array[numpy.ix_(a, b)]) for a in taps for b in taps]))
