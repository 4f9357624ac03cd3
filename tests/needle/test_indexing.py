"""x[index] means what numpy means by it, shares memory where it can, and refuses in plain words."""

import numpy as np
import pytest

import needle as ndl
from needle import BACKEND, Tensor, ops
from needle.errors import DTypeError, IndexRangeError, NeedleError, ShapeError

pytestmark = pytest.mark.both_modes
VALUES = np.arange(60, dtype="float32").reshape(3, 4, 5)
INDICES = [
    0, -1, (1, 2), (1, 2, 3), slice(None), slice(1, None), slice(None, None, -1), (slice(None), slice(3, 0, -2)), ...,
    (..., 0), (0, ...), (..., None), None, (None, 1, None, ..., None), (slice(5, 9), 0), (slice(2, 0), ..., 1),
    np.int64(2), [0, 2], [[0, 1], [2, -1]], (slice(None), [3, -4]), (..., [0, 0, 4]), ([2, 0], slice(1, 3)),
    (slice(None), 1, [0, 2]), (1, [0, 2]), ([0, 2], 1), np.array([], dtype=int), (None, [1, 1], ..., slice(1, 3)),
]  # fmt: skip


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_value_and_gradient_are_numpy_s(index: object) -> None:
    x = Tensor(VALUES)
    y = x[index]
    np.testing.assert_array_equal(y.numpy(), VALUES[index])
    (y * y).sum().backward()
    expected = np.zeros_like(VALUES)
    np.add.at(expected, index, 2 * VALUES[index])
    np.testing.assert_array_equal(x.grad.numpy(), expected)


def test_tensors_index_too() -> None:
    rows = Tensor(np.array([2, 0, 2]), requires_grad=False)
    np.testing.assert_array_equal(Tensor(VALUES)[rows].numpy(), VALUES[[2, 0, 2]])
    np.testing.assert_array_equal(Tensor(VALUES)[:, Tensor([1.0])].numpy(), VALUES[:, [1]])


def test_slices_share_memory_and_may_be_sliced_permuted_and_added() -> None:
    x = Tensor(VALUES)
    y = x[1:, ::-1, None, 2]
    if BACKEND == "nd":
        assert y.realize_cached_data()._handle is x.realize_cached_data()._handle
    else:
        assert np.shares_memory(y.realize_cached_data(), x.realize_cached_data())
    expected = VALUES[1:, ::-1, None, 2]
    np.testing.assert_array_equal((y.transpose() + y.transpose()).numpy(), 2 * expected.swapaxes(-1, -2))
    np.testing.assert_array_equal(y[::-1, 1:][0].numpy(), expected[::-1, 1:][0])
    np.testing.assert_allclose((y @ Tensor(np.ones((1, 2)))).numpy(), expected @ np.ones((1, 2)))


def test_a_tensor_is_a_sequence_of_its_slices() -> None:
    x = Tensor(VALUES)
    for part, expected in zip(x, VALUES, strict=True):
        np.testing.assert_array_equal(part.numpy(), expected)
    with pytest.raises(ShapeError):
        iter(Tensor(1.0))


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (3, IndexRangeError, r"\[getitem\] index 3 is outside axis 0 of \(3, 4, 5\)"),
        ((0, 0, 0, 0), ShapeError, "at most one index for each axis, got 4"),
        (VALUES > 3, DTypeError, r"cannot index by a mask.*where\(mask, a, b\)"),
        ([True, False, True], DTypeError, "cannot index by a mask"),
        (True, DTypeError, "cannot index by a truth value"),
        ((..., ...), ShapeError, "at most one Ellipsis"),
        (([0, 1], [0, 1]), ShapeError, "integer array on one axis only"),
        ((0, slice(None), [0, 1]), ShapeError, "must stand side by side"),
        ([0.5], DTypeError, "needs whole numbers as indices, got float64"),
        ([5], IndexRangeError, r"\[take\] indices must be whole numbers in -3\.\.2, got 5 at 0"),
        ("x", DTypeError, "needs ints, slices, None"),
        (1.0, DTypeError, "needs ints, slices, None"),
    ],
)
def test_what_cannot_be_is_refused(index: object, error: type, message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        Tensor(VALUES)[index]
    assert isinstance(caught.value, NeedleError)


def test_gather_and_take_refuse_numbers_outside() -> None:
    x = Tensor(VALUES)
    for bad in (5.0, -6.0, 0.5, np.nan):
        with pytest.raises(IndexRangeError, match=r"\[gather\] indices must be whole numbers in -5\.\.4"):
            ops.gather(x, Tensor(np.full((3, 4, 1), bad)))
    with pytest.raises(IndexRangeError, match=r"\[take\] indices must be whole numbers in -4\.\.3, got 4 at 1"):
        ops.take(x, [0, 4], axis=1)


def test_concat_undoes_slices_and_needs_no_two_gradients() -> None:
    x, fixed = Tensor(VALUES), Tensor(VALUES, requires_grad=False)
    y = ops.concat([x[:, :1], fixed, x[:, 1:]], 1)
    np.testing.assert_array_equal(y.numpy(), np.concatenate([VALUES[:, :1], VALUES, VALUES[:, 1:]], 1))
    (y * y).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), 2 * VALUES)
    with pytest.raises(ShapeError, match=r"\[concat\] needs at least one tensor"):
        ops.concat([], 0)


def test_a_star_import_leaves_python_s_names_alone() -> None:
    names: dict[str, object] = {}
    exec("from needle import *", names)
    assert "max" not in names and "relu" in names and ndl.max is ops.max
