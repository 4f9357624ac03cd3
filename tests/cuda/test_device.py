"""cuda(): every op's cases, the course's contract, training. On a device, or in the emulator (`make cuda-check`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import needle as ndl
from needle import backend_ndarray as nd
from needle import nn, optim
from needle.backend_ndarray.kernels import kernels
from needle.errors import DeviceError, DTypeError, IndexRangeError, NeedleError, ShapeError
from tests.case import Case
from tests.cases import CASES, meaning
from tests.test_every_op import (
    ARRAYS,
    CLASSES,
    applied,
    assert_equal,
    cotangents,
    differentiated,
    pulled_back,
    relaid,
    tensors,
)
from zoo.course import models

pytestmark = pytest.mark.skipif(not ndl.cuda().enabled(), reason="no CUDA device; make cuda-check emulates one")

# Ops that numpy computes on cpu() too: there is no kernel of theirs to compile.
BY_NUMPY = {
    "Acos", "Acosh", "ArgMax", "ArgMin", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "ConvND", "ConvNDInputGradient",
    "ConvNDWeightGradient", "Cos", "Cosh", "CumSum", "Floor", "IsInf", "IsNaN", "Pad", "PadGradient", "Round", "Sin",
    "Sinh", "Tan", "TopK",
}  # fmt: skip


def on_device(x: np.ndarray) -> nd.NDArray:
    return nd.NDArray(x, device=nd.cuda())


def cases_of(op: type) -> list[Case]:
    return [case for case in CASES if type(case.op) is op]


@pytest.mark.parametrize("op", [op for op in CLASSES if op.__name__ not in BY_NUMPY], ids=lambda op: op.__name__)
def test_value_and_gradients_are_the_meaning(op: type) -> None:
    for case in cases_of(op):

        def gradients(array: Any, case: Case = case) -> list[Any]:
            leaves = tensors(case.inputs, array, requires_grad=True)
            results = applied(case, leaves)[: case.outputs]
            weights = [ndl.Tensor.make_const(array(w.numpy())) for w in cotangents(results, seed=1)]
            found = pulled_back(results, weights, differentiated(case, leaves))
            return [None if x is None else x.numpy() for x in found]

        try:
            found = applied(case, tensors(case.inputs, on_device))
            assert_equal(case, found, meaning(case, *case.all_inputs(case.inputs)), 2e-5)
            assert all(y.device == nd.cuda() for y in found)
            for got, expected in zip(gradients(on_device), gradients(ARRAYS["float64"]), strict=True):
                assert (got is None) == (expected is None)
                if expected is not None:
                    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
        except Exception as error:
            error.add_note(f"for {case.name}")
            raise


@pytest.mark.parametrize("layout", ["strided", "permuted", "broadcast"])
def test_layout_in_memory_does_not_matter(layout: str) -> None:
    for case in CASES:
        if type(case.op).__name__ in BY_NUMPY or any(isinstance(x, tuple) for x in case.inputs):
            continue
        leaves = []
        for x in case.inputs:
            values, lay_out = relaid(x, layout) if x.ndim and x.size else (x, lambda a: a)
            leaves.append(ndl.Tensor.make_const(lay_out(on_device(np.array(values, order="C")))))
        values = tuple(x.numpy().astype(float) for x in leaves)
        try:
            assert_equal(case, applied(case, leaves), meaning(case, *case.all_inputs(values)), 2e-5)
        except Exception as error:
            error.add_note(f"for {case.name}")
            raise


@pytest.mark.parametrize("name", sorted(BY_NUMPY))
def test_what_has_no_kernel_is_refused_by_name(name: str) -> None:
    case = next(case for case in CASES if type(case.op).__name__ == name)
    with pytest.raises(DeviceError, match=r"\[\w+\] has no kernel on cuda\(\) .* x\.to\(ndl\.cpu\(\)\)"):
        applied(case, tensors(case.inputs, on_device))


def test_the_module_is_that_of_the_course() -> None:
    device = nd.cuda()
    assert repr(device) == "cuda()" and device.enabled() and device == ndl.cuda() and device in nd.all_devices()
    assert device.__device_name__ == "cuda" and device.__tile_size__ == 4 and not hasattr(device, "matmul_tiled")
    array = device.Array(6)
    assert array.size == 6 and isinstance(array.ptr(), int)
    binary, scalar = "add mul div maximum eq ge", "add mul div power maximum eq ge"
    names = [f"ewise_{x}" for x in f"{binary} log exp tanh setitem".split()] + [f"scalar_{x}" for x in scalar.split()]
    flat = ["to_numpy", "from_numpy", "fill", "compact", "scalar_setitem", "matmul", "reduce_max", "reduce_sum"]
    for name in [*names, *flat]:
        assert callable(getattr(device, name))


def test_flat_functions_of_the_course() -> None:
    device = nd.cuda()
    x = np.arange(1, 13, dtype="float32")
    a, b, out = device.Array(12), device.Array(12), device.Array(12)
    device.from_numpy(x, a)
    device.fill(b, 2.0)

    def values(array: Any, *shape: int) -> np.ndarray:
        return device.to_numpy(array, shape, nd.NDArray.compact_strides(shape), 0)

    device.ewise_mul(a, b, out)
    np.testing.assert_array_equal(values(out, 12), 2 * x)
    device.scalar_power(a, 2.0, out)
    np.testing.assert_array_equal(values(out, 12), x * x)
    small = device.Array(4)
    device.reduce_sum(a, small, 3)
    np.testing.assert_array_equal(values(small, 4), x.reshape(4, 3).sum(1))
    device.matmul(a, b, small, 2, 6, 2)
    np.testing.assert_array_equal(values(small, 2, 2), x.reshape(2, 6) @ np.full((6, 2), 2))
    device.compact(a, out, (4, 3), (1, 4), 0)
    np.testing.assert_array_equal(values(out, 4, 3), x.reshape(3, 4).T)


def test_views_share_memory_and_are_written_in_place() -> None:
    values = np.arange(24, dtype="float32").reshape(2, 3, 4)
    x = nd.NDArray(values, device=nd.cuda())
    turned = x.permute((2, 0, 1))
    assert turned._handle is x._handle and turned.strides == (1, 12, 4)
    np.testing.assert_array_equal(turned.numpy(), values.transpose(2, 0, 1))
    x[1:2, 0:3:2, 1:4] = 7
    values[1:2, 0:3:2, 1:4] = 7
    x.flat[3] += 0.5
    values.flat[3] += 0.5
    np.testing.assert_array_equal(x.numpy(), values)
    np.testing.assert_array_equal(x.flip((0, 2)).numpy(), values[::-1, :, ::-1])
    np.testing.assert_array_equal(x.pad(((0, 0), (1, 0), (0, 2))).numpy(), np.pad(values, ((0, 0), (1, 0), (0, 2))))
    np.testing.assert_array_equal((x >= 4).numpy(), (values >= 4).astype("float32"))
    assert "cuda()" in repr(x) and str(x) == str(values)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int32", "int64", "float64"])
def test_arrays_of_other_dtypes_are_moved_cast_and_cut(dtype: str) -> None:
    values = (np.arange(12).reshape(3, 4) % 5).astype(dtype)
    x = nd.NDArray(values, device=nd.cuda(), dtype=dtype)
    assert x.dtype == dtype and x.device == nd.cuda() and x.numpy().dtype == dtype
    np.testing.assert_array_equal(x.permute((1, 0)).compact().numpy(), values.T)
    np.testing.assert_array_equal(x[1:3, 0:4:2].numpy(), values[1:3, 0:4:2])
    np.testing.assert_array_equal(x.astype("float32").numpy(), values.astype("float32"))
    np.testing.assert_array_equal(nd.NDArray(values, device=nd.cuda()).astype(dtype).numpy(), values)
    x[0:1, 1:2] = 1
    values[0, 1] = 1
    np.testing.assert_array_equal(x.to(nd.cpu()).numpy(), values)
    if dtype in ("uint8", "int8", "int32", "int64"):
        np.testing.assert_array_equal((x + x).numpy(), values + values)
        np.testing.assert_array_equal((x * 3).numpy(), values * np.array(3, dtype))
        np.testing.assert_array_equal(x.sum(axis=1).numpy(), values.sum(1))
        np.testing.assert_array_equal(x.max(axis=0).numpy(), values.max(0))
    if dtype == "float64":
        with pytest.raises(DeviceError, match="has no kernel on cuda"):
            x + x


def test_errors_say_what_was_given() -> None:
    a, b = on_device(np.ones((2, 3))), on_device(np.ones((2, 3)))
    with pytest.raises(ShapeError, match=r"\[matmul\] inner sizes must agree, got \(2, 3\) @ \(2, 3\)"):
        a @ b
    with pytest.raises(DeviceError, match=r"operands must be on one device, got cuda\(\) and cpu\(\)"):
        a + nd.NDArray(np.ones((2, 3)))
    with pytest.raises(DeviceError, match=r"\[shared\] the memory of cuda\(\) is not the processor's"):
        a.shared()
    logits, labels = ndl.Tensor(np.ones((3, 4)), device=ndl.cuda()), ndl.Tensor([0, 9, 1], device=ndl.cuda())
    with pytest.raises(IndexRangeError, match=r"labels must be whole numbers in 0\.\.3, got 9 at row 1"):
        ndl.cross_entropy(logits, labels)
    with pytest.raises(NeedleError):
        ndl.Tensor([1.0]) @ logits


def test_arrays_move_only_where_asked() -> None:
    x = ndl.Tensor(np.arange(6).reshape(2, 3))
    there = ndl.Tensor(x, device=ndl.cuda())
    assert there.device == ndl.cuda() and (there + 1).device == ndl.cuda() and x.device == ndl.cpu()
    np.testing.assert_array_equal(ndl.Tensor(there * 2, device=ndl.cpu()).numpy(), 2 * x.numpy())
    np.random.seed(3)
    drawn = ndl.init.randn(4, 5, device=ndl.cuda()).numpy()
    np.random.seed(3)
    np.testing.assert_array_equal(drawn, ndl.init.randn(4, 5).numpy())


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_memory_is_shared_by_dlpack(dtype: str) -> None:
    x = nd.NDArray(np.arange(6).reshape(2, 3), device=nd.cuda(), dtype=dtype)
    assert x.__dlpack_device__() == (2, 0)  # kDLCUDA
    if dtype == "int32":
        with pytest.raises(DTypeError, match="needs elements of float32"):
            ndl.from_dlpack(x)
        return
    turned = ndl.from_dlpack(x.permute((1, 0)))
    assert turned.device == ndl.cuda() and turned.shape == (3, 2) and turned.__dlpack_device__() == (2, 0)
    x[1:2, 2:3] = 9.0
    del x
    np.testing.assert_array_equal(turned.numpy(), [[0, 3], [1, 4], [2, 9]])
    capsule = turned.__dlpack__()
    nd.cuda().from_dlpack(capsule)
    with pytest.raises(ValueError, match="nobody has taken yet"):
        nd.cuda().from_dlpack(capsule)


def test_numbers_are_read_where_python_asks() -> None:
    x = ndl.Tensor([2.5], device=ndl.cuda())
    assert float(x) == 2.5 and bool(x > 2) and f"{x:.1f}" == "2.5"
    np.testing.assert_array_equal(np.asarray(ndl.Tensor([1, 2], device=ndl.cuda())), [1, 2])


def train(device: Any, make: Any, x: np.ndarray, labels: np.ndarray, optimizer: Any) -> list[float]:
    """The losses of some steps."""
    np.random.seed(0)
    model, loss_of, losses = make(device), nn.SoftmaxLoss(), []
    opt = optimizer(model.parameters())
    for _ in range(3):
        out = model(ndl.Tensor(x, device=device))
        loss = loss_of(out[0] if isinstance(out, tuple) else out, ndl.Tensor(labels, device=device))
        opt.reset_grad()
        loss.backward()
        opt.step()
        losses.append(float(loss.numpy().item()))
    return losses


def small_net(device: Any) -> nn.Module:
    return nn.Sequential(
        nn.Conv(3, 4, 3, stride=2, device=device), nn.BatchNorm2d(4, device=device), nn.ReLU(), nn.Flatten(),
        nn.Linear(64, 8, device=device), nn.LayerNorm1d(8, device=device), nn.Dropout(0.3),
        nn.Linear(8, 5, device=device),
    )  # fmt: skip


DRAW = np.random.default_rng(0)
IMAGES, CLASSES_OF_IMAGES = DRAW.standard_normal((6, 3, 8, 8)), DRAW.integers(0, 5, 6)
TOKENS, NEXT = DRAW.integers(0, 20, (7, 3)), DRAW.integers(0, 20, 21)


@pytest.mark.parametrize("optimizer", [optim.SGD, optim.Adam], ids=["SGD", "Adam"])
def test_an_image_model_trains_as_on_the_processor(optimizer: Any) -> None:
    found, expected = (train(d, small_net, IMAGES, CLASSES_OF_IMAGES, optimizer) for d in (ndl.cuda(), ndl.cpu()))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("step", [
    lambda k, p, g, m, v: k.sgd_step(p, g, [], 0.1, 0.0, 0.2),
    lambda k, p, g, m, v: k.momentum_step(p, g, m, 0.1, 0.9, 0.2),
    lambda k, p, g, m, v: k.adam_step(p, g, m, v, 3, 0.1, 0.8, 0.99, 1e-6, 0.3, True),
], ids=["SGD", "momentum", "Adam"])  # fmt: skip
def test_steps_of_many_parameters_have_the_bits_of_the_processor(step: Any) -> None:
    draw, sizes = np.random.default_rng(0), [1, 0, 1023, 1024, 1025, 7, 5000] * 30  # beyond what one launch takes
    lists = [[draw.standard_normal(size) ** 2 for size in sizes] for _ in range(4)]

    def results(device: Any) -> list[Any]:
        p, g, m, v = ([nd.NDArray(x, device=device) for x in each] for each in lists)
        norm = kernels(p[0]).squared_norm(g)
        assert norm == pytest.approx(sum((x**2).sum() for x in lists[1]), rel=1e-6)
        assert norm == kernels(p[0]).squared_norm(g)
        return [x.numpy() for x in (*step(kernels(p[0]), p, g, m, v), *m, *v)]

    for got, expected in zip(results(nd.cuda()), results(nd.cpu()), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "transformer"])
def test_a_language_model_trains_as_on_the_processor(kind: str) -> None:
    def make(device: Any) -> nn.Module:
        return models.LanguageModel(8, 20, 8, 1, seq_model=kind, seq_len=7, device=device)

    found, expected = (train(d, make, TOKENS, NEXT, optim.Adam) for d in (ndl.cuda(), ndl.cpu()))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_same_bits_in_every_run() -> None:
    runs = [train(ndl.cuda(), small_net, IMAGES, CLASSES_OF_IMAGES, optim.Adam) for _ in range(2)]
    assert runs[0] == runs[1]
