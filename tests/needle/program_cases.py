"""The calls of tests/needle/test_program.py: every kernel of a program, with what numpy makes of its operands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from needle.backend_ndarray import bands, ndarray_backend_cpu
from needle.backend_ndarray.kernels import kernels

Program = ndarray_backend_cpu.Program
plain = kernels(np.zeros(1))
Arrays = list[np.ndarray]


class Times(NamedTuple):
    """A size that is so many times the first dim."""

    factor: int


N = Times(1)


class Case(NamedTuple):
    """A call, and for a value of the dim its operands and what is expected in those that it writes."""

    kernel: str
    functor: str
    integers: Sequence[int | Times]
    numbers: Sequence[float]
    given: Callable[[int], tuple[Arrays, dict[int, Any]]]


def program(*cases: Case) -> Any:
    """The calls one after the other, each operand in a base of its own."""
    sizes: list[tuple[str, int, int]] = [("dim", 0, 0), ("const", 0, 0)]

    def place(size: int | Times) -> int:
        sizes.append(("const", size.factor if isinstance(size, Times) else size, 0))
        if isinstance(size, Times):
            sizes.append(("mul", 0, len(sizes) - 1))
        return len(sizes) - 1

    calls, bases = [], 0
    for case in cases:
        arrays = case.given(1)[0]
        operands = [(bases + i, 1, array.itemsize) for i, array in enumerate(arrays)]
        calls.append((case.kernel, case.functor, [place(n) for n in case.integers], list(case.numbers), operands))
        bases += len(arrays)
    return Program(1, sizes, calls)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape) + 7 * len(shape)).standard_normal(shape).astype("float32")


def empty(*shape: int) -> np.ndarray:
    return np.full(shape, np.nan, dtype="float32")


def pointwise(functor: str, numbers: Sequence[float], meaning: Callable[..., Any], operands: int) -> Case:
    """Long enough for several threads."""

    def given(n: int) -> tuple[Arrays, dict[int, Any]]:
        x = [normal(n, 20011 + k)[:, :20011].copy() for k in range(operands)]
        return [empty(n, 20011), *x], {0: meaning(*x)}

    return Case("map", functor, [Times(20011)], numbers, given)


def repeated(n: int) -> tuple[Arrays, dict[int, Any]]:
    """y (n, 7, 5), its axes in another order, = a (n, 1, 5) - b (7, 1)."""
    a, b = normal(n, 5), normal(7)
    return [empty(7, n, 5), a, b], {0: (a[:, None] - b[:, None]).transpose(1, 0, 2)}


def transposed(n: int) -> tuple[Arrays, dict[int, Any]]:
    x = normal(n, 130, 150)
    return [empty(n, 150, 130), x], {0: x.transpose(0, 2, 1)}


def reduction(fold: str, count: int, inner: int, scratch: bool) -> Case:
    meaning = {"SumFold": np.sum, "MaxFold": np.max, "MinFold": np.min}[fold]

    def given(n: int) -> tuple[Arrays, dict[int, Any]]:
        x = normal(n, 3, count, inner)
        blocks = [empty(n * 3 * inner * (count // 256 + 1))] if scratch else []
        return [x, empty(n, 3, inner), *blocks], {1: meaning(x, axis=2)}

    return Case("reduce", fold, [Times(3), count, inner], [], given)


def integers(dtype: str, low: int, high: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(low, high, shape).astype(dtype)


def matrices(n: int) -> tuple[Arrays, dict[int, Any]]:
    """Transposed ones on the left, one for all on the right."""
    a, b = normal(n, 70, 33), normal(70, 21)
    scratch = np.zeros(2 * (70 * 32 + 240 * 768), "float32")
    return [a, b, empty(n, 33, 21), scratch], {2: a.transpose(0, 2, 1) @ b}


def whole_sums(n: int) -> tuple[Arrays, dict[int, Any]]:
    """y (n, 5) = a (5, n) turned + b (5,), which wraps around."""
    a, b = integers("int32", -(2**31), 2**31, 5, n), integers("int32", 0, 2**31, 5)
    return [np.zeros((n, 5), "int32"), a, b], {0: a.T + b}


def byte_sums(n: int) -> tuple[Arrays, dict[int, Any]]:
    x = integers("uint8", 0, 256, n, 700)
    return [x, np.zeros(n, "int64")], {1: x.sum(1)}


def taken(n: int) -> tuple[Arrays, dict[int, Any]]:
    """The last counted from the end, and one outside."""
    x, ids = integers("int8", -128, 128, n, 4, 2), np.array([2, -1, 4])
    return [x, ids, np.full((n, 3, 2), 9, "int8")], {2: np.concatenate([x[:, [2, 3]], np.zeros((n, 1, 2), "int8")], 1)}


def gathered(n: int) -> tuple[Arrays, dict[int, Any]]:
    x, index = normal(n, 4, 2), integers("int64", -4, 4, n, 3, 2)
    return [x, index, empty(n, 3, 2)], {2: np.take_along_axis(x, index, 1)}


def grouped(groups: int, padding: int) -> Case:
    """3x3 windows of 16 channels in groups, two pixels apart."""
    sizes = [N, 9, 7, 16, 24, 3, 2, padding, groups, 9 * 7 * 16, 7 * 16, 16, 1]

    def given(n: int) -> tuple[Arrays, dict[int, Any]]:
        x, w = normal(n, 9, 7, 16), normal(3, 3, 16 // groups, 24)
        y = plain.grouped_conv(x.astype("float64"), w.astype("float64"), 2, (padding, padding), groups, 1)
        return [x, w, empty(n, 5, 4, 24), np.zeros(200_000, "float32")], {2: y}

    return Case("grouped_conv", "", sizes, [], given)


def depthwise(n: int) -> tuple[Arrays, dict[int, Any]]:
    """A kernel for each channel, dilated, with more padding above than beside."""
    x, w = normal(n, 9, 7, 6), normal(3, 3, 1, 6)
    y = plain.grouped_conv(x.astype("float64"), w.astype("float64"), 2, (2, 1), 6, 2)
    return [x, w, empty(*y.shape), np.zeros(4096, "float32")], {2: y}


def softmax(kernel: str, meaning: Callable[[np.ndarray], Any]) -> Case:
    def given(n: int) -> tuple[Arrays, dict[int, Any]]:
        x = normal(n, 301)
        y = meaning(x.astype("float64"))
        return [x, empty(*y.shape)], {1: y}

    return Case(kernel, "", [N, 301], [], given)


def log_sum(x: np.ndarray) -> np.ndarray:
    return np.log(np.exp(x).sum(1))


def layer_norm(n: int) -> tuple[Arrays, dict[int, Any]]:
    x, w, b = normal(n, 300), normal(300), normal(300)
    y, mean, rstd = plain.layer_norm(x, w, b, 1e-2)
    return [x, w, b, empty(n, 300), empty(n), empty(n)], {3: y, 4: mean, 5: rstd}


def rms_norm(n: int) -> tuple[Arrays, dict[int, Any]]:
    x, w = normal(n, 300), normal(300)
    y, rstd = plain.rms_norm(x, w, 1e-2)
    return [x, w, empty(n, 300), empty(n)], {2: y, 3: rstd}


def group_norm(n: int) -> tuple[Arrays, dict[int, Any]]:
    x, w, b = normal(n, 50, 24), normal(24), normal(24)
    y, mean, rstd = plain.group_norm(x, w, b, 4, 1e-2)
    out = [empty(n, 50, 24), empty(n, 4), empty(n, 4), empty(6 * n * 24)]
    return [x, w, b, *out], {3: y, 4: mean, 5: rstd}


def batch_norm(n: int) -> tuple[Arrays, dict[int, Any]]:
    x, w, b, mean, var = normal(n, 1200, 24), normal(24), normal(24), normal(24) + 1, abs(normal(24))
    y = (x - mean) * w / np.sqrt(var + np.float32(1e-2)) + b
    return [x, w, b, mean, var, empty(n, 1200, 24), empty(24)], {5: y}


ROWS, COLUMNS = bands.sliding(11, 3, 2, 1), bands.adaptive(9, 4)
POOL = [N, 6, 11 * 9 * 6, 9 * 6, 6]
for _axis in (ROWS, COLUMNS):
    _size, _first, _start, _ = _axis.arrays
    POOL += [_axis.outputs, _size, *_first.tolist(), *_start.tolist()]
WEIGHTS = [*ROWS.arrays[3].tolist(), *COLUMNS.arrays[3].tolist()]


def max_pool(n: int) -> tuple[Arrays, dict[int, Any]]:
    x = normal(n, 11, 9, 6)
    y = plain.max_pool(x, x, ROWS, COLUMNS)
    return [x, empty(*y.shape)], {1: y}


def resample(n: int) -> tuple[Arrays, dict[int, Any]]:
    x = normal(n, 11, 9, 6)
    y = plain.resample(x, ROWS, COLUMNS)
    return [x, empty(*y.shape)], {1: y}


RELU, BIAS, ADD = 0, 1, 2
EPILOGUES = [[], [RELU], [BIAS], [ADD], [BIAS, RELU], [ADD, BIAS], [RELU, ADD, RELU], [BIAS, RELU, ADD, RELU]]


def packed(w: np.ndarray) -> np.ndarray:
    """(K, O) as [ceil(O / 16)][K][16], zeros behind column O."""
    padded = np.pad(w, ((0, 0), (0, -w.shape[1] % 16)))
    return np.ascontiguousarray(padded.reshape(len(w), -1, 16).transpose(1, 0, 2))


def finished(y: np.ndarray, steps: Sequence[int]) -> tuple[np.ndarray, Arrays]:
    """y behind the steps, and their operands."""
    operands: Arrays = []
    for step in steps:
        if step == RELU:
            y = np.maximum(y, 0)
            continue
        other = normal(y.shape[-1]) if step == BIAS else normal(*y.shape)
        operands.append(np.pad(other, (0, -len(other) % 16)) if step == BIAS else other)
        y = y + other
    return y, operands


def conv(sizes: tuple[int, int, int, int, int, int, int], steps: Sequence[int], planes: bool = False) -> Case:
    """Sizes: height, width, in, out, kernel, stride, padding; every tap meets something, or maps are of one pixel."""
    height, width, inputs, outputs, kernel, stride, padding = sizes
    w = normal(kernel, kernel, inputs, outputs)
    kept = w[padding : padding + 1, padding : padding + 1] if height == 1 else w

    def given(n: int) -> tuple[Arrays, dict[int, Any]]:
        x = normal(n, height, width, inputs)
        y, operands = finished(plain.conv(x, w, stride, padding), steps)
        memory = np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if planes else x
        arrays = [memory, packed(kept.reshape(-1, outputs)), empty(*y.shape), empty(1 << 16), *operands]
        return arrays, {2: y}

    pixels = height * width
    strides = [inputs * pixels, width, 1, pixels] if planes else [inputs * pixels, width * inputs, inputs, 1]
    return Case("conv", "", [N, *sizes, *strides, *steps], [], given)


POINTS = {
    (2, 3): (0, 1, -1), (4, 3): (0, 0.75, -0.75, 1.5, -1.5), (2, 2): (0, 1), (4, 2): (0.5, -0.5, 1.5, -1.5),
}  # fmt: skip


def at_points(w: np.ndarray, tile: int) -> np.ndarray:
    """Weights (T, T, I, O) packed at the points, by Lagrange's formula, and at infinity."""
    taps, inputs, outputs = w.shape[1:]
    points = POINTS[tile, taps]
    rows = [[p**t / np.prod([p - q for q in points if q != p]) for t in range(taps)] for p in points]
    matrix = np.array([*rows, [*[0] * (taps - 1), 1]])
    values = np.einsum("pa,qb,abio->pqio", matrix, matrix, w).reshape(len(matrix) ** 2, inputs, outputs)
    return np.ascontiguousarray(np.stack([packed(each.astype("float32")) for each in values], axis=1))


def winograd(sizes: tuple[int, ...], tile: int, round: int, steps: Sequence[int], planes: bool = False) -> Case:
    """Sizes: height, width, in, out, padding."""
    height, width, inputs, outputs, padding = sizes
    w = normal(3, 3, inputs, outputs) / np.float32(3 * inputs**0.5)  # so that outputs are about 1
    weights = at_points(w, tile)

    def given(n: int) -> tuple[Arrays, dict[int, Any]]:
        x = normal(n, height, width, inputs)
        y, operands = finished(plain.conv(x, w, 1, padding), steps)
        memory = np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if planes else x
        return [memory, weights, empty(*y.shape), empty(1 << 18), *operands], {2: y}

    pixels = height * width
    strides = [inputs * pixels, width, 1, pixels] if planes else [inputs * pixels, width * inputs, inputs, 1]
    return Case("winograd_conv", "", [N, *sizes, tile, round, *strides, *steps], [], given)


def linear(depth: int, columns: int, steps: Sequence[int]) -> Case:
    w = normal(depth, columns)

    def given(n: int) -> tuple[Arrays, dict[int, Any]]:
        x = normal(n, depth)
        y, operands = finished(x @ w, steps)
        return [x, packed(w), empty(*y.shape), *operands], {2: y}

    return Case("linear", "", [N, depth, columns, *steps], [], given)


CASES = [
    pointwise("Relu", [], lambda x: np.maximum(x, 0), 1),
    pointwise("AddScalar", [2.5], lambda x: x + np.float32(2.5), 1),
    pointwise("Clip", [-0.5, 1.0], lambda x: np.clip(x, -0.5, 1), 1),
    pointwise("Divide", [], np.divide, 2),
    pointwise("Gradient<Tanh>", [], lambda g, y: g * (1 - y * y), 2),
    pointwise("Where", [], lambda m, a, b: np.where(m != 0, a, b), 3),
    Case("map_strided", "Subtract", [3, N, 7, 5, 5, Times(5), 1, 5, 0, 1, 0, 1, 0], [], repeated),
    Case("map_strided", "MulScalar", [0], [2.0], lambda n: ([empty(1), normal(1)], {0: 2 * normal(1)})),
    Case("copy_strided", "", [3, N, 150, 130, 150 * 130, 130, 1, 150 * 130, 1, 150], [], transposed),
    reduction("SumFold", 9000, 1, scratch=True),
    reduction("SumFold", 300, 70, scratch=True),
    reduction("SumFold", 4096, 1, scratch=False),
    reduction("MaxFold", 500, 1, scratch=False),
    reduction("MinFold", 256, 33, scratch=False),
    Case("mean", "", [N, 301], [], lambda n: ([normal(n, 301), empty(n)], {1: normal(n, 301).mean(1)})),
    Case("variance", "", [N, 301], [1.0], lambda n: ([normal(n, 301), empty(n)], {1: normal(n, 301).var(1, ddof=1)})),
    Case("batched_matmul", "", [N, 33, 21, 70, 33 * 70, 1, 33, 0, 21, 1], [], matrices),
    Case("map_elements", "Add int32 int32", [2, N, 5, 5, 1, 1, Times(1), 0, 1], [], whole_sums),
    Case("fold_elements", "Add uint8 int64", [N, 700], [], byte_sums),
    Case("take_elements", "int8", [N, 4, 3, 2], [], taken),
    Case("gather_elements", "float32", [N, 4, 3, 2], [], gathered),
    grouped(2, 1),
    grouped(8, 1),
    Case("depthwise", "", [N, 9, 7, 6, 3, 2, 2, 1, 2, 9 * 7 * 6, 7 * 6, 6], [], depthwise),
    softmax("softmax", lambda x: np.exp(x - log_sum(x)[:, None])),
    softmax("logsoftmax", lambda x: x - log_sum(x)[:, None]),
    softmax("logsumexp", log_sum),
    Case("layer_norm", "", [N, 300], [1e-2], layer_norm),
    Case("rms_norm", "", [N, 300], [1e-2], rms_norm),
    Case("group_norm", "", [N, 50, 24, 4], [1e-2], group_norm),
    Case("batch_norm_inference", "", [Times(1200), 24], [1e-2], batch_norm),
    Case("max_pool", "", POOL, [], max_pool),
    Case("resample", "", POOL, WEIGHTS, resample),
    *[conv((9, 8, 5, 37, 3, 2, 1), steps) for steps in EPILOGUES],
    conv((32, 32, 3, 16, 3, 1, 1), [BIAS, RELU], planes=True),
    conv((1, 1, 20, 30, 3, 1, 1), [BIAS]),
    *[winograd((9, 8, 37, 21, 1), 4, 5, steps) for steps in EPILOGUES],
    winograd((6, 11, 16, 70, 0), 4, 40, [BIAS, RELU], planes=True),
    winograd((5, 5, 20, 33, 2), 2, 16, [BIAS]),
    winograd((3, 2, 8, 80, 1), 2, 3, [ADD, RELU]),
    *[linear(70, 45, steps) for steps in EPILOGUES],
]
