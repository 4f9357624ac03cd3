"""What single ops promise beyond their values: dtypes, stability, views, defaults, errors. In both array modes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import needle as ndl
from needle import BACKEND, Tensor, ops
from needle.errors import DeviceError, DTypeError, NeedleError, ShapeError

pytestmark = pytest.mark.both_modes
only_np = pytest.mark.skipif(BACKEND != "np", reason="NDArrays hold float32 alone")
only_nd = pytest.mark.skipif(BACKEND != "nd", reason="about NDArrays")


def tensor(values: Any, dtype: str = "float32") -> Tensor:
    return Tensor(np.asarray(values, dtype=dtype))


# -- dtypes ------------------------------------------------------------------------------------------------------------


@only_np
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scalar", [2, 2.0, np.float64(2), np.float32(2), np.int64(2), np.array(2.0)])
def test_a_number_leaves_the_dtype_of_a_tensor_alone(dtype: str, scalar: Any) -> None:
    x = tensor([1.0, 4.0], dtype)
    for y in (x + scalar, x * scalar, x / scalar, x**scalar, x - scalar, ops.fused_add_scalars(x, scalar, 1)[0]):
        assert y.dtype == dtype
        (y * y).sum().backward()
        assert x.grad.dtype == dtype


@only_np
def test_integers_divide_and_exponentiate_to_floats() -> None:
    x = tensor([1, 2, 4], "int64")
    assert (x + 1).dtype == "int64" and (x / 2).dtype == "float64" and ops.exp(x).dtype == "float64"
    np.testing.assert_allclose((x + 0.5).numpy(), [1.5, 2.5, 4.5])


@only_np
def test_results_of_shape_nothing_are_writable_arrays() -> None:
    x = tensor([1.0, 2.0], "float64")
    for y in (x.sum(), x.sum() + 1, ops.logsumexp(x), x.sum() * x.sum()):
        data = y.realize_cached_data()
        assert isinstance(data, np.ndarray) and data.shape == () and data.dtype == "float64"
        data.flat[0] += 1.0


@only_nd
def test_a_sum_over_everything_has_shape_one() -> None:
    x = tensor([[1.0, 2.0]])
    assert x.sum().shape == (1,) and ops.logsumexp(x).shape == (1,) and x.sum((0, 1)).shape == ()
    assert ops.cross_entropy(x, tensor([1.0])).shape == (1,)


# -- numbers at the edge -----------------------------------------------------------------------------------------------


def test_softmax_and_its_relatives_bear_large_numbers() -> None:
    x = np.random.default_rng(0).standard_normal((3, 5)) * 1e5
    shifted = x - x.max(axis=1, keepdims=True)
    meant = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(ops.logsoftmax(tensor(x)).numpy(), meant, rtol=1e-4)
    np.testing.assert_allclose(ops.softmax(tensor(x)).numpy(), np.exp(meant), atol=1e-5)
    huge = tensor([[1e10, 1e9, 1e8, -10.0], [1e-10, 1e9, 1e8, -10.0]])
    np.testing.assert_allclose(ops.logsumexp(huge, 1).numpy(), [1e10, 1e9])
    ops.logsumexp(huge, (1,)).sum().backward()
    np.testing.assert_allclose(huge.grad.numpy(), [[1, 0, 0, 0], [0, 1, 0, 0]])


def test_powers_of_zero_and_of_negative_numbers() -> None:
    x = tensor([0.0, -2.0, 3.0])
    for power, slope in ((0, [0, 0, 0]), (1, [1, 1, 1]), (2, [0, -4, 6]), (3, [0, 12, 27])):
        y = x**power
        np.testing.assert_allclose(y.numpy(), np.array([0.0, -2.0, 3.0]) ** power, rtol=1e-6)
        y.sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), slope, rtol=1e-6)


def test_the_slope_of_relu_at_zero_is_zero() -> None:
    x = tensor([-1.0, 0.0, 2.0])
    ops.relu(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [0, 0, 1])


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4)])
def test_affine_is_a_product_and_a_sum(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x, w, b = (tensor(rng.standard_normal(size)) for size in (shape, (4, 5), (1, 5)))
    both = ops.affine(x, w, b), ops.matmul(x, w) + ops.broadcast_to(b, (*shape[:-1], 5))
    assert (both[0].numpy() == both[1].numpy()).all()
    found = []
    for y in both:
        (y * y).sum().backward()
        grads = [each.grad for each in (x, w, b)]
        grads[0].sum().backward()
        found.append([each.numpy() for each in (*grads, w.grad, b.grad)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_affine_of_a_bias_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ShapeError, match="broadcast"):
        ops.affine(tensor(np.ones((2, 3))), tensor(np.ones((3, 4))), tensor(np.ones((1, 3))))


# -- defaults and argument names ---------------------------------------------------------------------------------------


def test_conv_pads_by_one_as_a_function_and_not_as_a_class() -> None:
    x, w = ndl.init.rand(1, 5, 5, 2), ndl.init.rand(3, 3, 2, 4)
    assert ops.conv(x, w).shape == (1, 5, 5, 4) and ops.Conv()(x, w).shape == (1, 3, 3, 4)
    assert ops.conv(x, w, stride=2, padding=0).shape == (1, 2, 2, 4)


def test_functions_take_their_arguments_by_name() -> None:
    x = tensor(np.arange(6.0).reshape(2, 3))
    assert ops.power_scalar(x, scalar=2).shape == ops.divide_scalar(x, scalar=2).shape == (2, 3)
    assert ops.add_scalar(x, scalar=1).shape == ops.mul_scalar(x, scalar=1).shape == (2, 3)
    assert ops.transpose(x, axes=(0, 1)).shape == ops.reshape(x, shape=(3, 2)).shape == (3, 2)
    assert ops.broadcast_to(x, shape=(4, 2, 3)).shape == ops.stack([x] * 4, axis=0).shape == (4, 2, 3)
    assert ops.summation(x, axes=(1,)).shape == ops.logsumexp(x, axes=1).shape == (2,)
    assert ops.flip(x, axes=(0,)).shape == (2, 3) and len(ops.split(x, axis=1)) == 3
    assert ops.dilate(x, axes=(0, 1), dilation=1).shape == (4, 6)
    assert ops.undilate(ops.dilate(x, dilation=2, axes=(1,)), dilation=2, axes=(1,)).shape == (2, 3)
    assert ops.tuple_get_item(value=ops.split(x, 0), index=1).shape == (3,)


def test_axes_may_be_lists() -> None:
    x = tensor(np.arange(24.0).reshape(2, 3, 4))
    assert x.sum([0, 2]).shape == (3,) and x.transpose([0, 2]).shape == (4, 3, 2) and x.reshape([6, 4]).shape == (6, 4)
    assert ops.logsumexp(x, [0, 1]).shape == (4,) and ops.flip(x, [0]).shape == (2, 3, 4)


# -- memory ------------------------------------------------------------------------------------------------------------


def address(x: Tensor) -> int:
    data = x.realize_cached_data()
    return data.__array_interface__["data"][0] if BACKEND == "np" else data._handle.ptr()


def test_rearranging_shares_memory() -> None:
    x = tensor(np.arange(24.0).reshape(2, 3, 4))
    views = [ops.permute(x, (2, 0, 1)), ops.transpose(x), ops.reshape(x, (6, 4)), ops.split(x, 0)[0]]
    assert all(address(view) == address(x) for view in views)


@only_nd
def test_broadcasting_shares_memory() -> None:
    x = tensor([[1.0], [2.0]])
    assert address(ops.broadcast_to(x, (3, 2, 5))) == address(x)


def test_undoing_a_permutation_gives_the_very_tensor() -> None:
    x = tensor(np.arange(24.0).reshape(2, 3, 4))
    y = ops.permute(x, (2, 0, 1))
    assert ops.permute(y, (1, 2, 0)) is x and ops.permute(y, (-2, -1, 0)) is x
    assert ops.permute(y, (2, 0, 1)) is not x
    with pytest.raises(NeedleError, match=r"\[permute\] needs each of 3 axes once"):
        ops.permute(y, (1, 2))


# -- errors ------------------------------------------------------------------------------------------------------------


def test_only_numbers_are_scalars() -> None:
    x = tensor([1.0, 2.0])
    for wrong in ("1", None, [1.0]):
        with pytest.raises(DTypeError, match=r"\[add_scalar\] needs a number, got"):
            x + wrong


def test_labels_and_ids_outside_their_range_are_named() -> None:
    with pytest.raises((ValueError, IndexError), match=r"0\.\.2, got 3"):
        ops.cross_entropy(tensor(np.zeros((2, 3))), tensor([0.0, 3.0]))
    with pytest.raises((ValueError, IndexError), match=r"0\.\.3, got -1"):
        ops.embed(tensor([[0.0, -1.0]]), tensor(np.zeros((4, 2))))


@only_nd
def test_operands_must_be_on_one_device() -> None:
    here, there = (Tensor([1.0, 2.0], device=device) for device in (ndl.cpu(), ndl.cpu_numpy()))
    for op in (ops.add, ops.multiply, ops.divide, ops.power):
        with pytest.raises(DeviceError, match=r"one device, got cpu\(\) and cpu_numpy\(\)"):
            op(here, there)
    with pytest.raises(DeviceError, match=r"\[MatMul\] operands must be on one device, got cpu\(\) and cpu_numpy\(\)"):
        here.reshape((1, 2)) @ there.reshape((2, 1))
