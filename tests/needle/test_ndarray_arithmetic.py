"""Elementwise arithmetic and reductions of NDArrays, compact or not, against numpy."""

import numpy as np
import pytest
from ndarray_pairs import DEVICES, check, pair

from needle import backend_ndarray as nd

pytestmark = pytest.mark.parametrize("device", DEVICES, ids=repr)


BINARY = {
    "a + b": lambda a, b: a + b,
    "a - b": lambda a, b: a - b,
    "a * b": lambda a, b: a * b,
    "a / b": lambda a, b: a / b,
    "a == b": lambda a, b: a == b,
    "a != b": lambda a, b: a != b,
    "a >= b": lambda a, b: a >= b,
    "a > b": lambda a, b: a > b,
    "a <= b": lambda a, b: a <= b,
    "a < b": lambda a, b: a < b,
}



def broadcast(x):
    """The first element of axis 0, repeated, of either kind of array."""
    return np.broadcast_to(x[0:1], x.shape) if isinstance(x, np.ndarray) else x[0:1, :, :].broadcast_to(x.shape)


VIEWS = {
    "compact": lambda x: x,
    "permuted": lambda x: x.transpose(2, 0, 1) if isinstance(x, np.ndarray) else x.permute((2, 0, 1)),
    "sliced": lambda x: x[1:4, ::2, 1:6],
    "broadcast": broadcast,
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("op", BINARY)
def test_binary(device, op, view):
    f, v = BINARY[op], VIEWS[view]
    a, x = pair(device, 4, 6, 7)
    b, y = pair(device, 4, 6, 7, high=3)
    b[0], y[0:1, :, :] = a[0], x[0:1, :, :]  # some equal elements
    check(f(v(x), v(y)), f(v(a), v(b)))
    check(f(v(x), 0.5), f(v(a), np.float32(0.5)))
    check(f(x, broadcast(y)), f(a, broadcast(b)))


@pytest.mark.parametrize("view", VIEWS)
def test_unary_and_the_rest(device, view):
    v = VIEWS[view]
    a, x = pair(device, 4, 6, 7)
    b, y = pair(device, 4, 6, 7, low=0.1, high=5)
    check(-v(x), -v(a))
    check(v(x).exp(), np.exp(v(a)))
    check(v(y).log(), np.log(v(b)))
    check(v(x).tanh(), np.tanh(v(a)))
    check(v(x).maximum(v(y)), np.maximum(v(a), v(b)))
    check(v(x).maximum(0.0), np.maximum(v(a), 0))
    check(2 - v(x), 2 - v(a))
    check(3 * v(x), 3 * v(a))
    check(np.float32(2) / v(y), 2 / v(b))
    check(np.float64(2) * v(y), 2 * v(b))
    for power in (0, 1, 2, 3, -1, -2, 0.5, 1.7):
        check(v(y) ** power, v(b) ** np.float32(power))
    check(v(x) ** 3, v(a) ** 3)


def test_special_values(device):
    a = np.array([0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 3e38, 1e-45], dtype="float32")
    x = nd.array(a, device=device)
    with np.errstate(all="ignore"):
        for f, g in ((nd.exp, np.exp), (nd.log, np.log), (nd.tanh, np.tanh)):
            np.testing.assert_allclose(f(x).numpy(), g(a), rtol=1e-6)
        np.testing.assert_array_equal((x / 0).numpy(), a / np.float32(0))
        np.testing.assert_array_equal((x**0).numpy(), a**0)
        np.testing.assert_array_equal(x.maximum(0.5).numpy(), np.maximum(a, 0.5))
        for f in (BINARY["a != b"], BINARY["a < b"], BINARY["a <= b"], BINARY["a > b"], BINARY["a == b"]):
            np.testing.assert_array_equal(f(x, x).numpy(), f(a, a))
            np.testing.assert_array_equal(f(x, 1.0).numpy(), f(a, 1.0))
    assert np.isnan(x.max().numpy()).all()


def test_ewise_or_scalar_is_the_way_down(device):
    a, x = pair(device, 3, 4)
    check(x.ewise_or_scalar(x, device.ewise_add, device.scalar_add), a + a)
    check(x.ewise_or_scalar(1.5, device.ewise_add, device.scalar_add), a + 1.5)


# -- reductions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", [0, 1, 2, 3, -1, (0,), (1, 3), (0, 2), (0, 1, 2), (3, 0), (0, 1, 2, 3), None])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 3, 1, 2), (3, 1, 0, 2)])
@pytest.mark.parametrize("name", ["sum", "max"])
def test_reductions(device, name, order, axes):
    a, x = pair(device, 3, 4, 5, 6)
    a, x = a.transpose(order), x.permute(order)
    for b, y in ((a, x), (a[:, 1:3, ::2], x[:, 1:3, ::2, :])):
        for keepdims in (False, True):
            wanted = getattr(b, name)(axis=axes, keepdims=keepdims)
            check(getattr(y, name)(axes, keepdims), wanted.reshape(1) if axes is None and not keepdims else wanted)


def test_long_reductions(device):
    for shape, axis in (((3, 100_000), 1), ((100_000, 3), 0), ((2, 5000, 7), 1), ((200_000,), None)):
        a, x = pair(device, *shape)
        exact = np.atleast_1d(a.sum(axis, dtype="float64"))
        np.testing.assert_allclose(x.sum(axis).numpy(), exact, rtol=1e-4, atol=1e-2)
        np.testing.assert_array_equal(x.max(axis).numpy(), np.atleast_1d(a.max(axis)))


def test_empty_arrays(device):
    x = nd.array(np.ones((0, 3)), device=device)
    check(x + x, np.ones((0, 3)))
    check(x.sum(0), np.zeros(3))
    check(x.sum(1), np.zeros(0))
    check(x.max(1), np.zeros(0))
    check(x.permute((1, 0)).compact(), np.ones((3, 0)))
    x[:, 1:2] = 4.0
