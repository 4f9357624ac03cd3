"""What programs hold in memory alone: halves, doubles, small floats, integers of every width, as numpy has them."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ml_dtypes")

from deploy import Graph, Instant, interpreter
from deploy.dtypes import numpy_dtype
from deploy.ir import Input, Node, apply
from deploy.onnx import ops as onnx_ops
from needle import ops
from needle.errors import ShapeError
from needle.types import DTYPES, TYPES, Type

STORED = sorted(TYPES.keys() - set(DTYPES))
FLOATS = [name for name in TYPES if TYPES[name].kind == "float"]
WHOLE = [name for name in TYPES if TYPES[name].kind == "integer"]
EDGES = [  # of small floats
    0.0, -0.0, 1.5, -2.5, 3.5, 5.0, 0.2500001, 1e-8, 6e-8, -7.9e-8, 240.0, 248.0, 447.9, 449.0, 464.0, 57344.0, 61440.0,
    65504.0, 65519.9, 65520.0, 1e9, -1e9, 3e38, np.inf, -np.inf, np.nan,
]  # fmt: skip


def same(found: np.ndarray, expected: np.ndarray, where: str) -> None:
    assert found.dtype == expected.dtype and found.shape == expected.shape, where
    wide = [x.astype(np.float64) if x.dtype.kind in "fV" else x for x in (found, expected)]
    np.testing.assert_array_equal(*wide, err_msg=where)
    if found.dtype.itemsize <= 2 and found.dtype.kind in "fV":  # signs of zeros, and NaN as NaN
        bits = np.uint8 if found.dtype.itemsize == 1 else np.uint16
        numbers = ~np.isnan(wide[1])
        np.testing.assert_array_equal(found.view(bits)[numbers], expected.view(bits)[numbers], err_msg=where)


def both(op: Any, *arrays: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The results of the instant engine and of the interpreter."""
    nodes = [Node(Input(f"x{i}"), (), Type(x.shape, str(x.dtype))) for i, x in enumerate(arrays)]
    made = apply(op, *nodes)
    parts = [made] if isinstance(made.type, Type) else [apply(ops.TupleGetItem(k), made) for k in range(len(made.type))]
    graph = Graph(tuple(nodes), tuple((f"y{k}", part) for k, part in enumerate(parts)))
    given = {f"x{i}": x for i, x in enumerate(arrays)}
    with np.errstate(all="ignore"):
        return Instant(graph).run(**given), interpreter.run(graph, given)


def check(op: Any, *arrays: np.ndarray) -> None:
    found, expected = both(op, *arrays)
    for name, y in expected.items():
        same(found[name], y, f"{op} of {[str(x.dtype) for x in arrays]}")


def whole(dtype: str, shape: tuple[int, ...] = (4, 5)) -> np.ndarray:
    """Numbers at both ends of the dtype and between."""
    record, generator = TYPES[dtype], np.random.default_rng(7)
    low, high = max(record.low, -(2**63)), min(record.high, 2**64)
    values = [low, high - 1, low // 2, high // 2, 0, 1, *map(int, generator.integers(max(low, -99), min(high, 99), 14))]
    return np.array(values[: int(np.prod(shape))], object).reshape(shape).astype(numpy_dtype(dtype))


@pytest.mark.parametrize("to", sorted(TYPES.keys() - {"bool"}))
def test_casts_are_those_of_numpy(to: str) -> None:
    for dtype in FLOATS:
        with np.errstate(all="ignore"):
            x = np.array(EDGES, "float32").astype(numpy_dtype(dtype))
        if TYPES[to].kind == "integer":  # what does not fit is undefined
            wide = x.astype("float64")
            x = x[np.isfinite(wide) & (np.abs(wide) < 2**31)] if to in ("int64", "int32", "int16", "int8") else x[:4]
            x = x[x.astype("float64") >= 0] if to.startswith("u") else x
        for saturate in (True, False):
            check(onnx_ops.CastTo(to, saturate), x)
    for dtype in WHOLE:
        check(onnx_ops.CastTo(to), whole(dtype))


def test_doubles_become_halves_by_one_rounding() -> None:
    x = np.array([1 + 2.0**-11 + 2.0**-40, 1 + 2.0**-11, 1 + 3 * 2.0**-11 - 2.0**-45, -(1 + 2.0**-11 + 2.0**-50)])
    check(onnx_ops.CastTo("float16"), x)


@pytest.mark.parametrize("dtype", ["int16", "uint16", "uint32", "uint64", "int64", "int8"])
def test_whole_numbers_wrap_and_shift_as_those_of_numpy(dtype: str) -> None:
    a, b = whole(dtype), whole(dtype)[::-1].copy()
    two = [ops.EWiseAdd(), ops.EWiseMul(), ops.Maximum(), ops.Minimum(), ops.Less(), ops.GreaterEqual(),
           onnx_ops.Subtract(), onnx_ops.Divide(), onnx_ops.Modulo(), onnx_ops.Modulo(True),
           *(onnx_ops.Bitwise(kind) for kind in ("and", "or", "xor"))]  # fmt: skip
    for op in two:
        check(op, a, b)
    check(onnx_ops.BitwiseNot(), a)
    shifts = np.arange(20).reshape(4, 5).astype(dtype) * np.array(4, dtype)
    for left in (True, False):
        check(onnx_ops.BitShift(left), a, shifts)
    check(onnx_ops.PowerOf(), a, (shifts % 7).astype(dtype))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_half_is_computed_in_float32_and_rounded_once(dtype: str) -> None:
    generator = np.random.default_rng(3)
    a, b = (generator.standard_normal((3, 7)).astype(numpy_dtype(dtype)) for _ in range(2))
    nodes = [Node(Input(name), (), Type(a.shape, dtype)) for name in "ab"]
    for op, expected in (
        (onnx_ops.Subtract(), a.astype("float32") - b.astype("float32")),
        (ops.Maximum(), np.maximum(a.astype("float32"), b.astype("float32"))),
    ):
        found = Instant(Graph(tuple(nodes), (("y", apply(op, *nodes)),))).run(a=a, b=b)["y"]
        same(found, expected.astype(numpy_dtype(dtype)), f"{op}")


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int32", "uint8", "uint64"])
def test_order_running_sums_and_scattered_elements(dtype: str) -> None:
    generator = np.random.default_rng(5)
    x = generator.integers(0, 9, (3, 8, 4)).astype(dtype)
    if dtype.startswith("float"):
        x[0, 3, 2] = x[0, 5, 2] = np.nan
    for axis, last in product((0, 1, -1), (False, True)):
        check(ops.ArgMax(axis, False, last), x)
        check(ops.ArgMin(axis, True, last), x)
    for largest, k in product((True, False), (1, 3, 8)):
        check(ops.TopK(k, 1, largest), x)
    for exclusive, reverse in product((False, True), repeat=2):
        check(ops.CumSum(1, exclusive, reverse), x)
    index = np.array([[[0, 2, -1, 5]], [[7, -8, 3, 3]], [[1, 1, 1, 1]]])
    for reduction in ("none", "add", "max", "min", "mul"):
        check(onnx_ops.ScatterElements(1, reduction), x, index, x[:, :1] * np.array(2, dtype))
        rows = np.array([[0, 1], [2, -1], [0, 1]])
        check(onnx_ops.ScatterND(reduction), x, rows, x[0, :3])


def test_what_no_window_reaches_is_refused_and_empty_values_are_known() -> None:
    x = Node(Input("x"), (), Type((2, 3, 0), "float32"))
    graph = Graph((x,), (("y", apply(ops.Summation((2,)), x)), ("z", apply(ops.Reshape((0, 5)), x))))
    found = Instant(graph).run(x=np.zeros((2, 3, 0), "float32"))
    np.testing.assert_array_equal(found["y"], np.zeros((2, 3)))
    assert found["z"].shape == (0, 5)
    with pytest.raises(ShapeError, match="no window fits"):
        apply(onnx_ops.MeanPool((4,), (1,), ((0, 0),), (1,)), Node(Input("x"), (), Type((1, 1, 3))))
