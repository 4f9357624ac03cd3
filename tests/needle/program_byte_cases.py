"""The calls of tests/needle/test_program.py for maps of bytes, and for weights in fewer bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from deploy.coded_weights import DecodedWeight, PackCodes
from deploy.packed_weights import Pack
from deploy.quantize.weights import encode
from deploy.quantized_ops import ByteTable, Dequantize, PackBytes, Quantize, QuantizedConv
from needle.backend_ndarray.plain.linear import conv as float_conv
from tests.needle.program_cases import Arrays, Case, N, Times, empty, normal


def drawn(low: int, high: int, dtype: str, *shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(low, high, shape).astype(dtype)


def whole(*shape: int) -> np.ndarray:
    return drawn(0, 256, "uint8", *shape)


def bytes_of(dtype: str, *shape: int) -> np.ndarray:
    return np.zeros(shape, dtype) if dtype == "uint8" else empty(*shape)


def quantized(n: int) -> tuple[Arrays, dict[int, Any]]:
    """Planes of three channels, of which a pixel's lie in four bytes; wider than a register."""
    x = 3 * normal(n, 3, 5, 37)
    x[0, 0, 0, :4] = [np.nan, np.inf, -np.inf, 1e30]
    return [x, bytes_of("uint8", n, 5, 37, 4)], {1: Quantize(0.02, 100, 4).compute(x.transpose(0, 2, 3, 1))}


def in_order(n: int) -> tuple[Arrays, dict[int, Any]]:
    x = 3 * normal(n, 5, 7, 8)
    return [x, bytes_of("uint8", n, 5, 7, 8)], {1: Quantize(0.05).compute(x)}


def dequantized(n: int) -> tuple[Arrays, dict[int, Any]]:
    x = whole(n, 333)
    return [x, empty(n, 333)], {1: Dequantize(0.25, 7).compute(x)}


def looked_up(n: int) -> tuple[Arrays, dict[int, Any]]:
    x, table = whole(n, 30, 20), whole(20, 256)
    return [x, table, bytes_of("uint8", n, 30, 20)], {2: ByteTable().compute(x, table)}


def pooled(n: int) -> tuple[Arrays, dict[int, Any]]:
    """Windows of 2 x 2 with steps of 2, of more channels than four registers hold."""
    x = whole(n, 4, 6, 68)
    expected = x.reshape(n, 2, 2, 3, 2, 68).max(axis=(2, 4))
    return [x, bytes_of("uint8", n, 2, 3, 68)], {1: expected}


def bands(outputs: int, size: int) -> list[int]:
    return [outputs, size, *range(0, size, 2), *range(0, size + 1, 2)]


def byte_conv(
    height: int, width: int, depth: int, out: int, kernel: int, stride: int, padding: int, zero: int,
    epilogue: tuple[str, ...] = (), dtype: str = "uint8",
) -> Case:  # fmt: skip
    """All products of whole numbers, by numpy's convolution of floats in double precision, which is exact."""
    add = "add" in epilogue
    settings: dict[str, Any] = {"epilogue": epilogue, "ratio": 0.75, "other": 9, "result": 5, "dtype": dtype}
    op = QuantizedConv(stride, padding, zero, **settings)

    def given(n: int) -> tuple[Arrays, dict[int, Any]]:
        x, w = whole(n, height, width, depth), drawn(-127, 128, "int8", kernel, kernel, depth, out)
        start, scale = drawn(-999, 999, "int32", out), np.abs(normal(out)) / 2**10
        rows, columns = ((size + 2 * padding - kernel) // stride + 1 for size in (height, width))
        other = [whole(n, rows, columns, out)] if add else []
        expected = op.compute(x, w, start, scale, *other)
        moved = x.astype(float) - zero  # padding is 0
        sums = float_conv(moved, w.astype(float), stride, padding) + start + zero * w.astype(float).sum(axis=(0, 1, 2))
        check(sums, scale, other, expected, op)
        packed = PackBytes().compute(w.reshape(-1, out))
        filled = [Pack().compute(v[None]).copy() for v in (start, scale)]
        image = (height + 2 * padding) * (width + 2 * padding) * depth // 4
        memory = np.zeros(2 * (16384 // image + 8) * image, "float32")  # for two threads
        return [x, packed, *filled, bytes_of(dtype, *expected.shape), memory, *other], {4: expected}

    first, last = epilogue[:1] == ("relu",) and add, epilogue[-1:] == ("relu",)
    integers = [N, height, width, depth, out, kernel, stride, padding, zero, int(first), int(last), 9, 5]
    return Case("byte_conv", dtype, integers, [0.75], given)


def check(sums: np.ndarray, scale: np.ndarray, other: list[np.ndarray], found: np.ndarray, op: QuantizedConv) -> None:
    """The op against sums that were computed another way."""
    v = sums.astype("float32") * scale
    for step in op.epilogue:
        v = np.maximum(v, 0) if step == "relu" else v + (other[0].astype("float32") - 9) * np.float32(0.75)
    expected = v if op.dtype == "float32" else np.clip(np.rint(v) + 5, 0, 255).astype("uint8")
    np.testing.assert_array_equal(found, expected)


def coded(format: str, depth: int, out: int, group: int) -> Case:
    """Weights in fewer bits, then bias and relu."""

    def given(n: int) -> tuple[Arrays, dict[int, Any]]:
        n = 3 * n  # 27 rows are more than weights are decoded for anew
        x, w, bias = normal(n, depth), normal(depth, out), normal(out)
        codes, *scales = encode(w, format, group).values()
        decoded = DecodedWeight(format, group).compute(codes, *scales)
        packed = PackCodes().compute(codes)
        last = [Pack().compute(s) for s in scales] or [packed]
        filled = Pack().compute(bias[None]).copy()
        return [x, packed, *last, empty(n, out), empty(8, depth * 32), filled], {3: np.maximum(x @ decoded + bias, 0)}

    return Case("coded_linear", format, [Times(3), depth, out, group, 1, 0], [], given)


BYTE_CASES = [
    Case("quantize", "", [N, 5, 37, 3, 4, 100, 3 * 5 * 37, 37, 1, 5 * 37], [50.0], quantized),
    Case("quantize", "", [N, 5, 7, 8, 8, 0, 5 * 7 * 8, 7 * 8, 8, 1], [20.0], in_order),
    Case("dequantize", "", [Times(333), 7], [0.25], dequantized),
    Case("byte_table", "", [Times(30), 20, 20], [], looked_up),
    Case("byte_max_pool", "", [N, 68, *bands(2, 4), *bands(3, 6)], [], pooled),
    byte_conv(9, 8, 4, 16, 3, 1, 1, 0),
    byte_conv(9, 8, 8, 37, 3, 2, 1, 128, ("relu",)),
    byte_conv(1, 1, 300, 45, 1, 1, 0, 3, ("add", "relu"), "float32"),
    byte_conv(4, 5, 12, 130, 3, 1, 1, 0, ("relu", "add")),
    byte_conv(32, 32, 4, 20, 7, 4, 3, 99, ("relu", "add", "relu")),
    byte_conv(2, 2, 16, 33, 2, 1, 1, 0, ("add",), "float32"),
    coded("int8", 70, 45, 32),
    coded("int4", 70, 133, 32),
    coded("bf16", 33, 300, 1),
    coded("fp16", 33, 300, 1),
    coded("int8", 33, 21, 7),
]
