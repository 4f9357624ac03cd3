"""The calls of tests/needle/test_program.py on sequences, and transposed convolutions."""

from __future__ import annotations

from typing import Any

import numpy as np

from needle.keyed_random import uniform
from tests.needle.program_cases import (
    ADD,
    BIAS,
    RELU,
    Arrays,
    Case,
    N,
    Times,
    at_points,
    empty,
    finished,
    normal,
    packed,
    plain,
)  # fmt: skip

STEPS, HIDDEN = 3, 20
HEADS, QUERIES, KEYS, DEPTH = 2, 5, 7, 16


def scratch() -> np.ndarray:
    return empty(100_000)


def lookup(dtype: str) -> Case:
    def given(n: int) -> tuple[Arrays, dict[int, Any]]:
        ids, table = (np.arange(3 * n) * 5 % 13 - 1).astype(dtype), normal(11, 40)
        rows = table[np.clip(ids.astype(int), 0, 10)]
        rows[(ids < 0) | (ids > 10)] = np.nan
        return [ids, table, empty(3 * n, 40)], {2: rows}

    return Case("lookup", dtype, [Times(3), 40, 11], [], given)


def iota(dtype: str) -> Case:
    def given(n: int) -> tuple[Arrays, dict[int, Any]]:
        return [np.zeros(2000 * n, dtype)], {0: np.arange(5, 5 + 2000 * n)}

    return Case("iota", dtype, [Times(2000), 5], [], given)


def random(n: int) -> tuple[Arrays, dict[int, Any]]:
    stream = uniform(2**60 + 3, np.array([77]), 300 * n)[0]
    return [np.array([77]), empty(300 * n)], {1: np.floor(stream * 2**24) / 2**24}


def lstm(n: int) -> tuple[Arrays, dict[int, Any]]:
    gates, h, c, w = normal(STEPS, n, 4 * HIDDEN), normal(n, HIDDEN), normal(n, HIDDEN), normal(HIDDEN, 4 * HIDDEN)
    y, cells, act = plain.lstm(gates, h, c, w)
    results = [empty(STEPS, n, HIDDEN), empty(STEPS, n, HIDDEN), empty(*gates.shape)]
    return [gates, h, c, w, *results, scratch()], {4: y, 5: cells, 6: act}


def gru(n: int) -> tuple[Arrays, dict[int, Any]]:
    gates, h, w, bias = normal(STEPS, n, 3 * HIDDEN), normal(n, HIDDEN), normal(HIDDEN, 3 * HIDDEN), normal(3 * HIDDEN)
    y, act = plain.gru(gates, h, w, bias)
    return [gates, h, w, bias, empty(STEPS, n, HIDDEN), empty(STEPS, n, 4 * HIDDEN), scratch()], {4: y, 5: act}


def rnn(relu: bool) -> Case:
    def given(n: int) -> tuple[Arrays, dict[int, Any]]:
        gates, h, w = normal(STEPS, n, HIDDEN), normal(n, HIDDEN), normal(HIDDEN, HIDDEN)
        return [gates, h, w, empty(STEPS, n, HIDDEN), scratch()], {3: plain.rnn(gates, h, w, relu)}

    return Case("rnn", "", [STEPS, N, HIDDEN, int(relu)], [], given)


def attention(causal: bool) -> Case:
    """Operands (B, T, H, D) seen as (B, H, T, D)."""

    def given(n: int) -> tuple[Arrays, dict[int, Any]]:
        q, k, v = (normal(n, size, HEADS, DEPTH) for size in (QUERIES, KEYS, KEYS))
        y, lse = plain.attention(*(x.transpose(0, 2, 1, 3) for x in (q, k, v)), 0.25, causal)
        results = [empty(n, QUERIES, HEADS, DEPTH), empty(n, HEADS, QUERIES)]
        return [q, k, v, *results, scratch()], {3: y.transpose(0, 2, 1, 3), 4: lse}

    strides = [x for size in (QUERIES, KEYS, KEYS, QUERIES) for x in (size * HEADS * DEPTH, DEPTH, HEADS * DEPTH)]
    return Case("attention", "", [N, HEADS, QUERIES, KEYS, DEPTH, int(causal), *strides], [0.25], given)


SLOTS, CONTEXT = 10, 7


def places(n: int, steps: int, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Different slots, and positions that leave room for all steps."""
    return (np.arange(n)[::-1] % SLOTS).astype(dtype), (np.arange(n) % (CONTEXT - steps + 1)).astype(dtype)


def positions(dtype: str) -> Case:
    def given(n: int) -> tuple[Arrays, dict[int, Any]]:
        first = (np.arange(n) * 3).astype(dtype)
        return [first, np.zeros((n, 5), dtype)], {1: first[:, None] + np.arange(5)}

    return Case("positions", dtype, [N, 5], [], given)


def cache_write(dtype: str) -> Case:
    def given(n: int) -> tuple[Arrays, dict[int, Any]]:
        cache, new, at = normal(SLOTS, CONTEXT, 2, 9), normal(n, 3, 2, 9), places(n, 3, dtype)
        return [cache, new, *at, empty(*cache.shape)], {4: plain.cache_write(cache, new, *at)}

    return Case("cache_write", dtype, [N, 3, SLOTS, CONTEXT, 18], [], given)


def cached_attention(dtype: str) -> Case:
    """Queries and results (B, T, H, D) seen as (B, H, T, D)."""

    def given(n: int) -> tuple[Arrays, dict[int, Any]]:
        q, keys, values = normal(n, 3, HEADS, DEPTH), *(normal(SLOTS, CONTEXT, HEADS, DEPTH) for _ in range(2))
        at = places(n, 3, dtype)
        y = plain.cached_attention(q.transpose(0, 2, 1, 3), keys, values, *at, 0.25)
        return [q, keys, values, *at, empty(*q.shape), scratch()], {5: y.transpose(0, 2, 1, 3)}

    strides = [3 * HEADS * DEPTH, DEPTH, HEADS * DEPTH] * 2
    return Case("cached_attention", dtype, [N, HEADS, 3, DEPTH, SLOTS, CONTEXT, *strides], [0.25], given)


def transposed_conv(size: int, inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> Case:
    """dx (n, size, size, inputs) of g."""
    side = (size + 2 * padding - kernel) // stride + 1

    def given(n: int) -> tuple[Arrays, dict[int, Any]]:
        g, w = normal(n, side, side, outputs), normal(kernel, kernel, inputs, outputs)
        dx = plain.conv_input_gradient(g, w, stride, padding, size, size)
        return [g, w, empty(*dx.shape), scratch()], {2: dx}

    strides = [side * side * outputs, side * outputs, outputs, 1]
    sizes = [N, size, size, inputs, outputs, kernel, stride, padding]
    return Case("conv_input_gradient", "", [*sizes, *strides], [], given)


def packed_transposed_conv(size: int, inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> Case:
    """The same with weights packed phase by phase: taps that read the map from its upper left pixel on."""
    side = (size + 2 * padding - kernel) // stride + 1
    w = normal(kernel, kernel, inputs, outputs)
    taps = [[t for t in reversed(range(kernel)) if (first + padding - t) % stride == 0
             and any(0 <= (i + padding - t) // stride < side for i in range(first, size, stride))]
            for first in range(min(stride, size))]  # fmt: skip
    phases = [w[np.ix_(a, b)].transpose(0, 1, 3, 2).reshape(-1, inputs) for a in taps for b in taps]
    weights = np.concatenate([packed(each).ravel() for each in phases])

    def given(n: int) -> tuple[Arrays, dict[int, Any]]:
        g = normal(n, side, side, outputs)
        y, operands = finished(plain.conv_input_gradient(g, w, stride, padding, size, size), [BIAS, RELU])
        return [g, weights, empty(*y.shape), scratch(), *operands], {2: y}

    strides = [side * side * outputs, side * outputs, outputs, 1]
    sizes = [N, size, size, inputs, outputs, kernel, stride, padding]
    return Case("transposed_conv", "", [*sizes, *strides, BIAS, RELU], [], given)


def winograd_transposed(
    size: tuple[int, int], inputs: int, outputs: int, stride: int, padding: int, tile: int, round: int
) -> Case:
    """The same with a kernel of twice the stride, each phase filtered: along an axis its later tap comes first.

    Maps in planes.
    """
    kernel = 2 * stride
    rows, columns = ((n + 2 * padding - kernel) // stride + 1 for n in size)
    w = normal(kernel, kernel, inputs, outputs) / np.float32(2 * outputs**0.5)
    taps = [[(first + padding) % stride + stride, (first + padding) % stride] for first in range(stride)]
    weights = np.stack([at_points(w[np.ix_(a, b)].transpose(0, 1, 3, 2), tile) for a in taps for b in taps])

    def given(n: int) -> tuple[Arrays, dict[int, Any]]:
        g = normal(n, rows, columns, outputs)
        y, operands = finished(plain.conv_input_gradient(g, w, stride, padding, *size), [BIAS, ADD, RELU])
        memory = np.ascontiguousarray(g.transpose(0, 3, 1, 2))
        return [memory, weights, empty(*y.shape), empty(1 << 18), *operands], {2: y}

    strides = [rows * columns * outputs, columns, 1, rows * columns]
    sizes = [N, *size, inputs, outputs, stride, padding, tile, round]
    return Case("winograd_transposed", "", [*sizes, *strides, BIAS, ADD, RELU], [], given)


def add_windows(size: int, channels: int, kernel: int, stride: int, padding: int) -> Case:
    """Windows (n, side, side, kernel, kernel, channels), each added where it lies."""
    side = (size + 2 * padding - kernel) // stride + 1

    def given(n: int) -> tuple[Arrays, dict[int, Any]]:
        windows = normal(n, side, side, kernel, kernel, channels)
        y = np.zeros((n, size + 2 * padding, size + 2 * padding, channels), "float32")
        for i in range(side):
            for j in range(side):
                y[:, i * stride : i * stride + kernel, j * stride : j * stride + kernel] += windows[:, i, j]
        inner = np.ascontiguousarray(y[:, padding : padding + size, padding : padding + size])
        return [windows, empty(*inner.shape)], {1: inner}

    return Case("add_windows", "", [N, size, size, channels, kernel, stride, padding], [], given)


SEQUENCE_CASES = [
    lookup("float32"),
    lookup("int32"),
    Case("random", "", [Times(300), 2**60 + 3], [], random),
    iota("float32"),
    iota("int32"),
    Case("lstm", "", [STEPS, N, HIDDEN], [], lstm),
    Case("gru", "", [STEPS, N, HIDDEN], [], gru),
    rnn(False),
    rnn(True),
    attention(False),
    attention(True),
    *(make(dtype) for make in (positions, cache_write, cached_attention) for dtype in ("float32", "int32")),
    transposed_conv(8, 5, 7, 4, 2, 1),
    transposed_conv(4, 20, 30, 4, 1, 0),
    packed_transposed_conv(8, 5, 7, 4, 2, 1),
    packed_transposed_conv(4, 20, 30, 4, 1, 0),
    packed_transposed_conv(7, 18, 5, 3, 2, 0),
    winograd_transposed((14, 10), 21, 37, 2, 1, 2, 5),
    winograd_transposed((13, 21), 70, 16, 2, 0, 4, 40),
    winograd_transposed((2, 11), 16, 20, 3, 2, 4, 16),
    winograd_transposed((9, 5), 33, 8, 1, 1, 2, 3),
    add_windows(8, 1, 4, 2, 1),
    add_windows(7, 3, 3, 2, 0),
    add_windows(5, 2, 3, 1, 1),
]
