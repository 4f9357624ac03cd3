"""Mean, variance, extrema, comparisons and choices where they are delicate: ties, NaN, large means, numbers."""

import numpy as np
import pytest

from needle import BACKEND, Tensor, nn, ops

pytestmark = pytest.mark.both_modes


def values(x: Tensor) -> np.ndarray:
    return np.asarray(x.numpy())


def test_equal_extrema_share_the_gradient() -> None:
    x = Tensor(np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]]))
    x.max(1).sum().backward()
    np.testing.assert_allclose(values(x.grad), [[0, 0.5, 0.5], [1 / 3, 1 / 3, 1 / 3]], rtol=1e-6)
    x.min().sum().backward()
    np.testing.assert_array_equal(values(x.grad), [[1, 0, 0], [0, 0, 0]])
    a, b = Tensor([1.0, 2.0, 3.0]), Tensor([1.0, 3.0, 2.0])
    ops.maximum(a, b).sum().backward()
    np.testing.assert_array_equal([values(a.grad), values(b.grad)], [[0.5, 0, 1], [0.5, 1, 0]])


def test_nan_spreads() -> None:
    x = Tensor(np.array([[1.0, np.nan, 2.0], [1.0, 5.0, 2.0]]))
    for reduced in (x.max(1), x.min(1), x.mean(1), x.var(1)):
        assert np.isnan(values(reduced)).tolist() == [True, False]
    assert values(ops.argmax(x, 1)).tolist() == [1, 1] and values(ops.argmin(x, 1)).tolist() == [1, 0]
    both = values(ops.maximum(x, Tensor(np.zeros((2, 3))))), values(ops.minimum(x, Tensor(np.zeros((2, 3)))))
    assert all(np.isnan(y).sum() == 1 for y in both)
    assert np.isnan(values(ops.clip(x, 0, 1))).sum() == 1
    for op in (ops.gelu, ops.silu, ops.softplus, ops.leaky_relu, ops.absolute, ops.sign, ops.sqrt, ops.erf):
        assert np.isnan(values(op(x))).sum() == 1


def test_the_variance_of_numbers_far_from_zero_is_exact() -> None:
    x = np.random.default_rng(0).standard_normal((64, 50)).astype("float32") + np.float32(10000)
    expected = x.astype(float).var(1)
    np.testing.assert_allclose(values(Tensor(x).var(1)), expected, rtol=1e-3)
    np.testing.assert_allclose(values(Tensor(x).var(1, correction=1)), expected * 50 / 49, rtol=1e-3)


@pytest.mark.parametrize("dtype", ["bool", "int32", "int64"] + ["uint8", "int8", "uint64"] * (BACKEND == "np"))
def test_means_and_variances_of_whole_numbers_do_not_wrap_around(dtype: str) -> None:
    largest = 1 if dtype == "bool" else np.iinfo(dtype).max // 2
    x = np.array([[largest] * 8, [0, largest] * 4]).astype(dtype)
    for axes in (None, 0, 1):
        exact = x.astype(float)
        np.testing.assert_allclose(values(Tensor(x, dtype=dtype).mean(axes)).squeeze(), exact.mean(axes), rtol=1e-6)
        np.testing.assert_allclose(values(Tensor(x, dtype=dtype).var(axes)).squeeze(), exact.var(axes), rtol=1e-6)
    nanoseconds = Tensor(np.full(8, 1_700_000_000_000_000_000), dtype="int64")
    assert float(nanoseconds.mean()) == pytest.approx(1.7e18) and float(nanoseconds.var()) == 0


def test_squared_differences_of_whole_numbers_do_not_wrap_around() -> None:
    a, b = Tensor([100_000, 3], dtype="int32"), Tensor([0, 5], dtype="int32")
    np.testing.assert_array_equal(values(ops.squared_difference(a, b)), [1e10, 4])
    assert float(nn.MSELoss()(a, b)) == pytest.approx(5e9)


@pytest.mark.skipif(BACKEND == "nd", reason="NDArrays have no float16")
def test_means_of_half_precision_do_not_overflow() -> None:
    x = Tensor(np.array([60000, 59904] * 500), dtype="float16")  # whose sum is above the largest of 65504
    assert x.mean().dtype == x.var().dtype == "float16"
    assert float(x.mean()) == 59968 and float(x.var()) == 48**2  # the nearest to 59952


def test_all_axes_give_one_number_as_sum_does() -> None:
    x = Tensor(np.ones((2, 3)))
    for reduced in (x.mean(), x.max(), x.min(), x.var()):
        assert reduced.shape == x.sum().shape
    assert x.mean(keepdims=True).shape == (1, 1) and x.max((0, 1)).shape == ()


def test_argmax_is_numpy_s() -> None:
    x = np.random.default_rng(0).integers(0, 3, (4, 5, 6)).astype("float32")
    for axis in (None, 0, 1, -1):
        np.testing.assert_array_equal(values(ops.argmax(Tensor(x), axis)).reshape(-1), np.argmax(x, axis).reshape(-1))
    assert not ops.argmax(Tensor(x)).requires_grad


def test_comparisons_take_numbers_on_either_side() -> None:
    x = Tensor([1.0, 2.0, 3.0])
    found = [x < 2, x <= 2, x > 2, x >= 2]
    found += [ops.less(2, x), ops.greater_equal(2, x), ops.equal(x, 2), ops.not_equal(2, x), x < Tensor([2.0])]
    expected = ["100", "110", "001", "011", "001", "110", "010", "101", "100"]
    assert ["".join(str(int(v)) for v in values(y)) for y in found] == expected
    assert (x == x) is True and x in {x: 0}  # one tensor is itself: no elementwise equality


def test_where_chooses_and_so_does_its_gradient() -> None:
    x = Tensor([[-1.0, 2.0], [3.0, np.inf]])
    y = ops.where(x < 3, ops.exp(x), 0.0)
    np.testing.assert_allclose(values(y), [[np.exp(-1), np.exp(2)], [0, 0]], rtol=1e-6)
    a, b = Tensor([[1.0], [2.0]]), Tensor([10.0, 20.0])
    ops.where(x > 2.5, a, b).sum().backward()
    np.testing.assert_array_equal(values(a.grad), [[0], [2]])
    np.testing.assert_array_equal(values(b.grad), [1, 1])
    assert values(ops.where(x > 0, 1.0, 0.0)).tolist() == [[0, 1], [1, 1]]


def test_logic() -> None:
    a, b = Tensor([1.0, 2.0, 3.0]) > 1, Tensor([1.0, 2.0, 3.0]) < 3
    found = [ops.logical_and(a, b), ops.logical_or(a, b), ops.logical_not(a)]
    assert [[bool(v) for v in values(y)] for y in found] == [[0, 1, 0], [1, 1, 1], [1, 0, 0]]


def test_softplus_and_gelu_keep_small_results() -> None:
    x = Tensor(np.array([-80.0, -20.0, 0.0, 20.0, 80.0]))
    np.testing.assert_allclose(values(ops.softplus(x)), np.logaddexp(0, values(x).astype(float)), rtol=2e-6)
    np.testing.assert_allclose(values(ops.gelu(x)), [0, 0, 0, 20, 80], atol=1e-7)
