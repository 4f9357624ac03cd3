"""Whole numbers and bool on cpu(): the extension's kernels for elements of any type, beside numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from needle import BACKEND, array_api
from needle.backend_ndarray import elements
from needle.backend_ndarray import ndarray_backend_cpu as compiled

pytestmark = pytest.mark.skipif(BACKEND == "np", reason="arrays are numpy's there")

DTYPES = ("bool", "uint8", "int8", "int32", "int64")
SIZES = (0, 1, 7, 255, 256, 257, 1000)  # around the blocks and the vectors that kernels work in
LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "dense": lambda x: x,
    "every second": lambda x: x[:, ::2],
    "transposed": lambda x: x.permute((1, 0)) if hasattr(x, "permute") else x.transpose(),
    "backwards": lambda x: x.flip((1,)) if hasattr(x, "flip") else x[:, ::-1],
    "repeated": lambda x: (np.broadcast_to if isinstance(x, np.ndarray) else array_api.broadcast_to)(x[:, :1], (2, 9)),
}
TWINS = {
    "Add": np.add, "Subtract": np.subtract, "Multiply": np.multiply, "Maximum": np.maximum, "Minimum": np.minimum,
    "Negate": np.negative, "Absolute": np.abs, "Sign": np.sign, "Relu": lambda x: np.maximum(x, x.dtype.type(0)),
    "Equal": np.equal, "NotEqual": np.not_equal, "Less": np.less, "LessEqual": np.less_equal, "Greater": np.greater,
    "GreaterEqual": np.greater_equal, "LogicalAnd": np.logical_and, "LogicalOr": np.logical_or,
    "LogicalNot": np.logical_not, "Where": np.where,
}  # fmt: skip


def numbers(dtype: str, *shape: int) -> np.ndarray:
    """Of the whole range, so that sums and products wrap around, with the extremes among them."""
    draw = np.random.default_rng(len(shape))
    if dtype == "bool":
        return draw.random(shape) < 0.5
    range_ = np.iinfo(dtype)
    made = draw.integers(range_.min, range_.max, shape, dtype, endpoint=True)
    extremes = (range_.min, range_.max, 0, 1)[: made.size]
    made.reshape(-1)[: len(extremes)] = extremes
    return made


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernel", {**elements.ARITHMETIC, **elements.TRUTHS})
def test_kernels_give_what_numpy_gives(kernel: str, dtype: str) -> None:
    functor = {**elements.ARITHMETIC, **elements.TRUTHS}[kernel]
    if dtype == "bool" and functor in elements.SIGNED:
        assert elements.mapped(kernel, array_api.array([True], dtype="bool")) is None
        return
    twin: Any = TWINS[functor]
    operands = 1 if functor in ("Negate", "Absolute", "Sign", "Relu", "LogicalNot") else 2
    for layout, lay_out in LAYOUTS.items():
        a, b = numbers(dtype, 2, 600), numbers(dtype, 2, 600)[::-1].copy()
        given = [lay_out(array_api.array(x, dtype=dtype)) for x in (a, b)][:operands]
        meant = [lay_out(x) for x in (a, b)][:operands]
        if kernel.endswith("_scalar"):
            given[1] = meant[1] = 1 if dtype != "bool" else True
        if kernel == "where":
            mask = numbers("bool", *meant[0].shape)
            given, meant = [array_api.array(mask, dtype="bool"), *given], [mask, *meant]
        found = elements.mapped(kernel, *given)
        expected = twin(*meant)
        assert found is not None and found.dtype == str(expected.dtype), (kernel, layout)
        np.testing.assert_array_equal(found.numpy(), expected, err_msg=f"{kernel} {layout}")


@pytest.mark.parametrize("dtype", DTYPES)
def test_sizes_around_blocks_and_none_at_all(dtype: str) -> None:
    for size in SIZES:
        a, b = numbers(dtype, size), numbers(dtype, size)[::-1].copy()
        x, y = array_api.array(a, dtype=dtype), array_api.array(b, dtype=dtype)
        np.testing.assert_array_equal((x + y).numpy(), a + b)
        np.testing.assert_array_equal((x > y).numpy(), (a > b).astype("float32"))
        rows, wide = a.reshape(1, size).repeat(3, 0), array_api.array(a.reshape(1, size).repeat(3, 0), dtype=dtype)
        np.testing.assert_array_equal(wide.sum(axis=1).numpy(), rows.astype("int64").sum(1))
        assert wide.sum(axis=1).dtype == "int64"
        if size:
            np.testing.assert_array_equal(wide.max(axis=1).numpy(), rows.max(1))
            assert wide.max(axis=0).dtype == dtype


def test_results_are_the_same_on_any_number_of_threads() -> None:
    a = numbers("int32", 300_000)
    x, before = array_api.array(a, dtype="int32"), compiled.num_threads()
    found = []
    for threads in (1, 2, 5):
        compiled.set_num_threads(threads)
        found.append(((x * 3 + x).numpy(), x.sum().numpy(), x.max().numpy()))
    compiled.set_num_threads(before)
    for other in found[1:]:
        for first, second in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(first, second)


def test_numbers_of_another_kind_and_operands_of_two_dtypes_are_left_to_numpy() -> None:
    x = array_api.array([1, 2], dtype="int32")
    assert elements.mapped("add_scalar", x, 0.5) is None
    assert elements.mapped("add_scalar", array_api.array([1], dtype="bool"), 2) is None
    assert elements.mapped("less", x, array_api.array([1, 2], dtype="int64")) is None
    assert elements.mapped("exp", x) is None
    double = array_api.array([1.0], dtype="float64")
    assert elements.mapped("add", double, double) is None


@pytest.mark.parametrize(("call", "message"), [
    (lambda y, x: compiled.map_elements("Nothing", y, [x, x]), "no functor Nothing"),
    (lambda y, x: compiled.map_elements("Add", y, [x]), "Add takes 2"),
    (lambda y, x: compiled.map_elements("Add", y, [x, x[:2]]), "shapes must be equal"),
    (lambda y, x: compiled.map_elements("Add", y, [x, x.astype("int64")]), "one type"),
    (lambda y, x: compiled.map_elements("Add", y, [x.astype(">i4"), x.astype(">i4")]), "no elements of >i4"),
    (lambda y, x: compiled.map_elements("Add", y, [x.astype("complex64")] * 2), "no elements of complex64"),
    (lambda y, x: compiled.map_elements("Where", y, [x, x, x]), "a mask of bool"),
    (lambda y, x: compiled.map_elements("Add", np.broadcast_to(y, (3,)), [x, x]), "read-only"),
    (lambda y, x: compiled.map_elements("Add", y, []), "Add takes 2"),
    (lambda y, x: compiled.fold_elements("Negate", y[:1], x[None]), "a functor of two"),
    (lambda y, x: compiled.fold_elements("Add", y[:2], x[None]), "a place for each"),
    (lambda y, x: compiled.fold_elements("Add", y[:1], x[None, ::2]), "without gaps"),
])  # fmt: skip
def test_wrong_arguments_are_refused(call: Any, message: str) -> None:
    x = np.arange(3, dtype="int32")
    with pytest.raises((ValueError, RuntimeError), match=message):
        call(np.empty(3, "int32"), x)
