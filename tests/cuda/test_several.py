"""cuda(0) and cuda(1): each has its own memory and stream, and what is on two of them does not meet."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import needle as ndl
from needle import backend_ndarray as nd
from needle import nn, optim
from needle.backend_ndarray.kernels import kernels
from needle.errors import DeviceError

several = [device for device in nd.all_devices() if device.name == "cuda" and device.enabled()]
pytestmark = pytest.mark.skipif(len(several) < 2, reason="no two CUDA devices; make cuda-check emulates them")
TWO = r"operands must be on one device, got cuda\(\) and cuda\(1\)"


def on(device: Any, *shape: int, seed: int = 0, dtype: str = "float32") -> nd.NDArray:
    values = np.random.default_rng(seed).standard_normal(shape) * 9
    return nd.NDArray(values, device=device, dtype=dtype)


def test_devices_have_numbers() -> None:
    assert ndl.cuda() is ndl.cuda(0) and ndl.cuda(1) is ndl.cuda(1) and ndl.cuda(0) != ndl.cuda(1)
    assert (repr(ndl.cuda()), repr(ndl.cuda(1))) == ("cuda()", "cuda(1)") and ndl.cuda(1).enabled()
    assert nd.all_devices() == [nd.cpu(), *several, nd.cpu_numpy()] and len(set(nd.all_devices())) == 2 + len(several)
    assert pickle.loads(pickle.dumps(ndl.cuda(1))) is ndl.cuda(1) and copy.deepcopy(ndl.cuda(1)) is ndl.cuda(1)
    for index in (len(several), 77, -1):
        sees = rf"sees {len(several)} CUDA devices, \[cuda\(\), cuda\(1\).*\]; got {index}"
        with pytest.raises(DeviceError, match=sees):
            ndl.cuda(index)
    assert isinstance(ndl.cuda(1).device_name(), str) and ndl.cuda(1).synchronize() is None


@pytest.mark.parametrize("dtype", ["float32", "int32", "float64"])
def test_arrays_move_between_devices(dtype: str) -> None:
    x = on(nd.cuda(), 3, 4, dtype=dtype)
    y = x.permute((1, 0)).to(nd.cuda(1))
    assert y.device is nd.cuda(1) and y._handle.device == 1 and x._handle.device == 0
    np.testing.assert_array_equal(y.numpy(), x.numpy().T)
    np.testing.assert_array_equal(y.to(nd.cuda()).numpy(), x.numpy().T)
    assert "cuda(1)" in repr(y)
    tensor = ndl.Tensor(ndl.Tensor([1.0, 2.0], device=ndl.cuda()), device=ndl.cuda(1))
    assert tensor.device is ndl.cuda(1) and (tensor + 1).device is ndl.cuda(1)
    np.testing.assert_array_equal((tensor * 2).numpy(), [2, 4])
    assert pickle.loads(pickle.dumps(y)).device is nd.cuda(1) and copy.deepcopy(y).device is nd.cuda(1)


def test_operands_on_two_devices_are_refused_with_both_names() -> None:
    a, b = on(nd.cuda(), 3, 3), on(nd.cuda(1), 3, 3)
    ids, here, there = (on(device, 3, dtype="int32") * 0 for device in (nd.cuda(), nd.cuda(), nd.cuda(1)))
    for call in (
        lambda: a + b, lambda: a @ b, lambda: here + there, lambda: kernels(a).matmul(a, b),
        lambda: kernels(a).sgd_step([a], [b], [], 0.1), lambda: kernels(a).squared_norm([a, b]),
        lambda: kernels(a).embedding(ids, b), lambda: nd.cuda().ewise_add(a._handle, b._handle, a._handle),
        lambda: nd.cuda().ewise_setitem(a._handle, b._handle, (3, 3), (3, 1), 0),
        lambda: nd.cuda().compact(here._handle, there._handle, (3,), (1,), 0),
        lambda: nd.cuda().map_elements("Copy", (9,), [(x._handle, (1,), 0) for x in (a, b)]),
    ):  # fmt: skip
        with pytest.raises(DeviceError, match=TWO):
            call()
    with pytest.raises(DeviceError, match=r"one device, got cuda\(1\) and cuda\(\)"):
        b + a
    np.testing.assert_array_equal((b + b).numpy(), 2 * b.numpy())  # nothing is left of what was refused
    np.testing.assert_array_equal((a + a).numpy(), 2 * a.numpy())
    x, w = ndl.Tensor(np.ones((2, 3)), device=ndl.cuda()), ndl.Tensor(np.ones((3, 2)), device=ndl.cuda(1))
    with pytest.raises(DeviceError, match=rf"\[MatMul\] {TWO}"):
        x @ w
    with pytest.raises(DeviceError, match=r"operands must be on one device, got cpu\(\) and cuda\(1\)"):
        ndl.Tensor(np.ones((2, 3))) @ w


def test_calls_that_fail_leave_no_device_behind() -> None:
    b = on(nd.cuda(1), 3)
    for bad in ((b, "text"), (b,), (b, b, b, b, b)):
        with pytest.raises(TypeError):
            nd.cuda().add(*bad)
    a = on(nd.cuda(), 3)
    np.testing.assert_array_equal((a * 2).numpy(), 2 * a.numpy())


def test_memory_that_is_given_back_is_handed_out_on_its_own_device() -> None:
    for device in (nd.cuda(1), nd.cuda()):
        kept = device.Array(12345).ptr()  # given back at once
        other, again = nd.cuda(1 - device.index).Array(12345), device.Array(12345)
        assert other.ptr() != kept == again.ptr() and (other.device, again.device) == (1 - device.index, device.index)
        del other, again


@pytest.mark.parametrize("optimizer", [optim.SGD, optim.Adam], ids=["SGD", "Adam"])
def test_a_model_trains_on_the_second_device_with_the_bits_of_the_first(optimizer: Any) -> None:
    def train(device: Any) -> list[Any]:
        np.random.seed(0)
        model = nn.Sequential(
            nn.Conv(3, 4, 3, stride=2, device=device), nn.BatchNorm2d(4, device=device), nn.ReLU(), nn.Flatten(),
            nn.Linear(64, 5, device=device),
        )  # fmt: skip
        x = ndl.Tensor(np.random.default_rng(0).standard_normal((6, 3, 8, 8)), device=device)
        labels, loss_of = ndl.Tensor([0, 1, 2, 3, 4, 0], device=device), nn.SoftmaxLoss()
        opt = optimizer(model.parameters())
        for _ in range(3):
            opt.reset_grad()
            loss = loss_of(model(x), labels)
            loss.backward()
            opt.step()
        assert loss.device is device and all(p.device is device for p in model.parameters())
        return [p.numpy() for p in model.parameters()]

    for first, second in zip(train(ndl.cuda()), train(ndl.cuda(1)), strict=True):
        np.testing.assert_array_equal(first, second)


def test_dlpack_says_which_device() -> None:
    x = on(nd.cuda(1), 2, 3)
    assert x.__dlpack_device__() == (2, 1)
    y = ndl.from_dlpack(x)
    assert y.device is ndl.cuda(1) and y.__dlpack_device__() == (2, 1) and y.realize_cached_data()._handle.device == 1
    x[0:1, 0:1] = 7.0
    np.testing.assert_array_equal(y.numpy(), x.numpy())

    class Elsewhere:
        def __dlpack_device__(self) -> tuple[int, int]:
            return 2, 9

        def __dlpack__(self, **options: Any) -> Any:
            raise AssertionError("the device comes first")

    with pytest.raises(DeviceError, match="got 9"):
        ndl.from_dlpack(Elsewhere())
