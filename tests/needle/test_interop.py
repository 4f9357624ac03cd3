"""Tensors and other libraries: memory shared both ways, Python's numbers, and numpy's operators."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

import needle as ndl
from needle import BACKEND, Tensor
from needle.errors import DeviceError, DTypeError, ShapeError
from needle.types import DTYPES

pytestmark = pytest.mark.both_modes


def shares(a: np.ndarray, x: Tensor) -> bool:
    """Whether writing to the array changes the tensor."""
    before = x.tolist()
    a[...] = 1 - a.astype(int)
    return bool(x.tolist() != before)


@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_and_tensors_share_memory(dtype: str) -> None:
    a = np.array([[0, 1, 1], [1, 0, 1]], dtype=dtype)
    x = ndl.from_numpy(a)
    assert x.dtype == dtype and not x.requires_grad and x.tolist() == a.tolist() and shares(a, x)
    view = np.asarray(x)
    assert view.dtype == dtype and np.shares_memory(view, a)
    kept = x.astype("float64" if dtype == "float32" else "float32")
    made = np.asarray(kept)
    del kept
    gc.collect()
    assert made.tolist() == a.tolist() and shares(made, Tensor(1 - made)) is False
    assert not np.shares_memory(np.array(x), a) and np.asarray(x, dtype="complex64").dtype == "complex64"
    assert np.shares_memory(np.array(x, copy=False), a)
    with pytest.raises(ValueError, match="copy"):
        np.array(x, dtype="int16", copy=False)


def test_results_of_kernels_on_shared_memory_are_new() -> None:
    a = np.array([1.0, -2.0, 3.0], dtype="float32")
    x = ndl.from_numpy(a)
    y = ndl.ops.relu(x * 2.0)
    a[...] = 0
    assert y.tolist() == [2, 0, 6] and x.tolist() == [0, 0, 0]
    del a
    gc.collect()
    assert (x + 1.0).tolist() == [1, 1, 1]


def test_arrays_that_cannot_be_shared_are_copied() -> None:
    base = np.arange(6, dtype="float32").reshape(2, 3)
    fixed = base.copy()
    fixed.flags.writeable = False
    for a in (base.T, base[:, ::2], base[::-1], base.astype(">f4"), fixed, np.broadcast_to(base[0], (2, 3))):
        x = ndl.from_numpy(a)
        assert x.tolist() == a.tolist() and x.dtype == "float32" and not np.shares_memory(np.asarray(x), a)
        assert np.asarray(x).flags.writeable
    for a in (np.zeros((0, 3), "float32"), np.array(2.5, dtype="float32"), np.array(7), np.ones((2, 0, 1))):
        x = ndl.from_numpy(a)
        assert x.shape == a.shape and x.dtype == a.dtype and np.asarray(x).shape == a.shape
        assert ndl.from_dlpack(x).shape == a.shape
    with pytest.raises(DTypeError, match="needs a numpy array, got list"):
        ndl.from_numpy([1.0])  # type: ignore[arg-type]
    for a in (np.array(["a"]), np.array([1j]), np.array([None])):
        with pytest.raises(DTypeError, match="needs numbers"):
            ndl.from_numpy(a)
    if BACKEND == "nd":
        with pytest.raises(DTypeError, match="dtype must be one of"):
            ndl.from_numpy(np.zeros(3, "uint16"))


def test_views_are_shared_as_views() -> None:
    x = Tensor(np.arange(6).reshape(2, 3), dtype="float32")
    turned = ndl.transpose(x)
    assert np.asarray(turned).tolist() == np.asarray(x).T.tolist()
    if BACKEND == "nd":
        assert np.shares_memory(np.asarray(turned), np.asarray(x))
        wide = ndl.ops.broadcast_to(Tensor([1.0]), (3, 2))
        assert np.asarray(wide).strides == (0, 0)


def test_dlpack_with_numpy() -> None:
    x = Tensor([[1.0, 2.0]], dtype="float64")
    assert x.__dlpack_device__() == (1, 0)
    there = np.from_dlpack(x)
    assert there.tolist() == x.tolist() and np.shares_memory(there, np.asarray(x))
    a = np.array([1, 2, 3])
    back = ndl.from_dlpack(a)
    assert back.dtype == "int64" and back.tolist() == [1, 2, 3]
    with pytest.raises(DTypeError, match="needs an array that has __dlpack__, got list"):
        ndl.from_dlpack([1.0])

    class Elsewhere:
        def __dlpack__(self, **options: Any) -> Any:
            raise AssertionError

        def __dlpack_device__(self) -> tuple[int, int]:
            return 2, 0

    with pytest.raises(DeviceError, match="needs memory of the CPU"):
        ndl.from_dlpack(Elsewhere())


@pytest.mark.parametrize("dtype", DTYPES)
def test_dlpack_with_torch_writes_through_both_ways(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    x = Tensor([[1, 1], [1, 1]], dtype=dtype)
    there = torch.from_dlpack(x)
    there[0, 1] = 0
    assert x.tolist() == [[1, 0], [1, 1]] and there.dtype == getattr(torch, dtype)
    t = torch.ones(2, 3).to(getattr(torch, dtype))
    y = ndl.from_dlpack(t)
    t[1, 2] = 0
    np.asarray(y)[0, 0] = 0
    assert y.dtype == dtype and y.tolist() == [[0, 1, 1], [1, 1, 0]] == t.tolist()
    assert ndl.from_dlpack(t.T).tolist() == t.T.tolist()


def test_one_number_and_many() -> None:
    for one in (Tensor([2.5]), Tensor([[2.5]]), Tensor(np.array(2.5))):
        assert (one.item(), float(one), int(one), bool(one)) == (2.5, 2.5, 2, True)
    assert isinstance(Tensor([3], dtype="int64").item(), int) and Tensor([0], dtype="bool").item() is False
    x = Tensor([[1.0, 2.0, 3.0]])
    assert len(x) == 1 and x.tolist() == [[1, 2, 3]] and Tensor(np.array(1.5)).tolist() == 1.5
    for name, function in {"float": float, "int": int, "bool": bool, "item": Tensor.item}.items():
        with pytest.raises(ShapeError, match=rf"\[{name}\] needs a tensor of one element, got shape \(1, 3\)"):
            function(x)
    with pytest.raises(ShapeError, match="no first axis"):
        len(Tensor(np.array(1.0)))


def test_numpy_leaves_operators_to_tensors_and_functions_refuse_them() -> None:
    x = Tensor([1.0, 2.0], dtype="float64")
    for scaled in (np.float64(3) * x, x * np.float32(3), np.array(3.0) * x):
        assert isinstance(scaled, Tensor) and scaled.tolist() == [3, 6] and scaled.requires_grad
    assert (np.ones(2) * x).tolist() == [1, 2] and (x @ np.ones(2)).item() == 3
    with pytest.raises(TypeError):
        np.exp(x)
    with pytest.raises(DTypeError, match=r"\[MatMul\] needs Tensors, got list"):
        x @ [1, 2]
    assert (x == x) is True
    assert np.asarray([x, x]).tolist() == [[1, 2], [1, 2]]
