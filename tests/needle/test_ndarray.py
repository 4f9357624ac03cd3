"""NDArray on every device: numpy's values and strides, views that share memory, writes in place, refusals."""

import numpy as np
import pytest

from needle import backend_ndarray as nd
from needle.errors import BroadcastError, DeviceError, IndexRangeError, NeedleError, ShapeError

DEVICES = [device for device in nd.all_devices() if device.enabled()]
pytestmark = pytest.mark.parametrize("device", DEVICES, ids=repr)


def pair(device, *shape, low=-2.0, high=2.0):
    """The same numbers as numpy array and NDArray."""
    a = np.random.default_rng(sum(shape) + len(shape)).uniform(low, high, shape).astype("float32")
    return a, nd.array(a, device=device)


def check(got, wanted, view_of=None):
    """Equal values; for a view also numpy's strides and the same memory."""
    assert got.shape == np.shape(wanted)
    np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-5, atol=1e-5)
    if view_of is not None:
        assert got.strides == tuple(stride // 4 for stride in wanted.strides)
        assert got._handle is view_of._handle
    else:
        assert got.is_compact()


# -- making ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8", "int64", "bool", "float16"])
def test_array_takes_any_dtype_and_strides(device, dtype):
    a = (np.arange(24).reshape(2, 3, 4) % 5).astype(dtype)
    for x in (a, a.T, a[:, ::-1, ::2], a[:, :, 0], a[..., None], a.astype(a.dtype.newbyteorder())):
        y = nd.array(x, device=device)
        assert (y.dtype, y.device, y.strides) == ("float32", device, nd.NDArray.compact_strides(x.shape))
        np.testing.assert_array_equal(y.numpy(), x.astype("float32"))


def test_array_of_lists_numbers_and_arrays(device):
    check(nd.NDArray([[1, 2], [3, 4]], device=device), [[1, 2], [3, 4]])
    check(nd.NDArray(3.5, device=device), 3.5)
    a, x = pair(device, 3, 4)
    copy = nd.NDArray(x)
    assert copy.device == device and copy._handle is not x._handle
    copy.fill(0)
    check(x, a)
    check(nd.NDArray(x.permute((1, 0))), a.T)
    np.testing.assert_array_equal(np.asarray(x), a)
    assert np.asarray(x, dtype="float64").dtype == np.float64


def test_device_makes_arrays(device):
    check(device.full((2, 3), 7, dtype="int32"), np.full((2, 3), 7))
    assert device.empty((2, 0, 3)).shape == (2, 0, 3)
    np.random.seed(0)
    uniform, normal = device.rand(2, 3), device.randn(2, 3, dtype="float32")
    np.random.seed(0)
    np.testing.assert_array_equal(uniform.numpy(), np.random.rand(2, 3).astype("float32"))
    np.testing.assert_array_equal(normal.numpy(), np.random.randn(2, 3).astype("float32"))
    check(device.one_hot(4, np.array([[1, 3], [0, 0]])), np.eye(4)[[[1, 3], [0, 0]]])
    with pytest.raises(IndexError, match=r"0\.\.3, got 4"):
        device.one_hot(4, [0, 4])


def test_devices_compare_by_name_and_forward_to_their_module(device):
    assert device == type(device)(device.name, None) and device != type(device)("other", device.mod)
    assert repr(device) == device.name + "()"
    assert hasattr(device, "ewise_add") and not hasattr(device, "no_such_function")
    assert hasattr(device, "matmul_tiled") == (device.name == "cpu") == hasattr(device, "__tile_size__")


def test_a_device_that_is_not_there(device):
    cuda = nd.cuda()
    assert repr(cuda) == "cuda()" and not cuda.enabled() and cuda in nd.all_devices()
    with pytest.raises(DeviceError, match="not available"):
        nd.array([1, 2], device=cuda)
    with pytest.raises(NeedleError):
        nd.array([1, 2], device=device).to(cuda)


def test_to_another_device(device):
    a, x = pair(device, 3, 4)
    for other in DEVICES:
        moved = x.permute((1, 0)).to(other)
        assert moved.device == other
        np.testing.assert_array_equal(moved.numpy(), a.T)
        if other != device:
            with pytest.raises(DeviceError, match="one device"):
                x + x.to(other)
    assert x.to(device) is x


# -- views -------------------------------------------------------------------------------------------------------------

INDICES = [
    ((4, 5, 6), np.s_[1:3, ::2, 3:4]),
    ((4, 5, 6), np.s_[:, :, :]),
    ((4, 5, 6), np.s_[-2:, 1:-1, 5:6]),
    ((4, 5, 6), np.s_[1::2, 0:1, ::5]),
    ((4, 5, 6), np.s_[2:2, :, 9:]),
    ((7,), np.s_[1:100:3]),
]


@pytest.mark.parametrize("shape, index", INDICES)
def test_slices_are_views(device, shape, index):
    a, x = pair(device, *shape)
    got = x[index]
    check(got, a[index], view_of=x)


def test_an_int_keeps_its_axis(device):
    a, x = pair(device, 4, 5, 6)
    check(x[2, 1:3, -1], a[2:3, 1:3, 5:6], view_of=x)
    check(x[np.int64(1), :, :], a[1:2], view_of=x)
    for index in ((4, 0, 0), (0, -6, 0)):
        with pytest.raises(IndexRangeError):
            x[index]
    for index in (0, (0, 0), (0, 0, 0, 0), np.s_[0, 0, ::-1]):
        with pytest.raises(ShapeError):
            x[index]
    assert x.process_slice(slice(None), 1) == slice(0, 5, 1)
    assert x.process_slice(-1, 2) == slice(5, 6, 1)


def test_views_of_views_share_memory(device):
    a, x = pair(device, 4, 6, 5)
    check(x.permute((2, 0, 1)), a.transpose(2, 0, 1), view_of=x)
    check(x.permute((2, 0, 1))[1:4, :, ::3], a.transpose(2, 0, 1)[1:4, :, ::3], view_of=x)
    check(x.reshape((8, 3, 5)), a.reshape(8, 3, 5), view_of=x)
    check(x.reshape((2, -1)), a.reshape(2, -1), view_of=x)
    check(x.reshape((1, 120, 1)), a.reshape(1, 120, 1), view_of=x)
    check(x.flat, a.reshape(120), view_of=x)
    check(x.as_strided((3, 2), (7, 2)), np.lib.stride_tricks.as_strided(a, (3, 2), (28, 8)), view_of=x)
    if hasattr(x._handle, "ptr"):
        assert x.permute((1, 0, 2))._handle.ptr() == x._handle.ptr()


BROADCASTS = [((4, 1, 5), (4, 3, 5)), ((4, 1), (2, 4, 6)), ((1,), (3, 2)), ((), (2, 3)), ((2, 3), (2, 3))]


@pytest.mark.parametrize("shape, to", BROADCASTS)
def test_broadcast_has_numpys_strides(device, shape, to):
    a, x = pair(device, *shape)
    check(x.broadcast_to(to), np.broadcast_to(a, to), view_of=x)
    check(x.broadcast_to(to).compact(), np.broadcast_to(a, to))


def test_refused_shapes(device):
    _, x = pair(device, 2, 3)
    for error, call in [
        (ShapeError, lambda: x.reshape((7,))),
        (ValueError, lambda: x.reshape((-1, -1))),
        (ShapeError, lambda: x.reshape((-2, -3))),
        (ValueError, lambda: x.permute((1, 0)).reshape((6,))),
        (ValueError, lambda: x[0:1, :].reshape((3,))),
        (AssertionError, lambda: x.broadcast_to((2, 4))),
        (BroadcastError, lambda: x.broadcast_to((3,))),
        (ShapeError, lambda: x.permute((0, 0))),
        (ShapeError, lambda: x.permute((0,))),
        (ShapeError, lambda: x + x.permute((1, 0))),
        (ShapeError, lambda: x.sum(2)),
        (ShapeError, lambda: x.sum((0, 0))),
        (ValueError, lambda: x.sum(())),
        (ShapeError, lambda: x.pad(((0, 1),))),
        (ShapeError, lambda: x.flip((0, 2))),
        (ShapeError, lambda: x.as_strided((2,), (1, 1))),
        (ValueError, lambda: x @ x),
        (ShapeError, lambda: nd.array(np.ones((2, 0)), device=device).max(1)),
    ]:
        with pytest.raises(error, match=r"^\["):
            call()
    with pytest.raises((TypeError, ValueError)):
        x + "text"


def test_compact_means_the_whole_memory_in_order(device):
    _, x = pair(device, 4, 5)
    assert x.is_compact() and x.compact() is x
    assert not x.permute((1, 0)).is_compact() and not x[0:2, :].is_compact() and not x[1:4, :].is_compact()
    assert x[:, :].is_compact() and x[0:2, :].compact().is_compact()


# -- writing -----------------------------------------------------------------------------------------------------------

SETS = [
    ((4, 5, 6), np.s_[1:3, ::2, 3:4], (2, 3, 1)),
    ((4, 5, 6), np.s_[:, :, :], (4, 5, 6)),
    ((4, 5, 6), np.s_[1:4:2, 0:1, 0:1], (2, 1, 1)),
    ((3, 70, 80), np.s_[::2, 1:65, ::3], (2, 64, 27)),
]


@pytest.mark.parametrize("shape, index, size", SETS)
def test_setitem_writes_in_place(device, shape, index, size):
    a, x = pair(device, *shape)
    b, y = pair(device, *size)
    before = x._handle
    for value, number in ((y, b), (3.5, 3.5), (y.permute((1, 0, 2)).permute((1, 0, 2)), b), (b, b), (b.tolist(), b)):
        x[index] = value
        a[index] = number
        check(x, a)
    assert x._handle is before


def test_setitem_needs_equal_counts_only(device):
    a, x = pair(device, 4, 5, 6)
    x[1:4:2, 0, 0] = nd.array(np.ones((1, 2)), device=device)
    a[1:4:2, 0, 0] = 1
    check(x, a)
    with pytest.raises(ShapeError, match="setitem"):
        x[0, 0, :] = nd.array(np.ones(5), device=device)


def test_setitem_of_overlapping_memory(device):
    a, x = pair(device, 6, 4)
    x[1:6, :] = x[0:5, :]
    a[1:6] = a[0:5].copy()
    check(x, a)
    square, y = pair(device, 4, 4)
    y[:, :] = y.permute((1, 0))
    check(y, square.T)


def test_flat_writes_through(device):
    a, x = pair(device, 3, 4)
    for j in (0, 5, 11):
        x.flat[j] += 0.25
        a.flat[j] += 0.25
    assert x.flat[3].shape == (1,)
    check(x, a)


def test_fill(device):
    a, x = pair(device, 3, 4)
    x[1:2, ::2].fill(9)
    a[1:2, ::2] = 9
    check(x, a)
    x.fill(-1)
    check(x, np.full((3, 4), -1))


# -- arithmetic --------------------------------------------------------------------------------------------------------

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


# -- matrix products, flip, pad ----------------------------------------------------------------------------------------


SIZES = [(16, 16, 16), (8, 8, 8), (1, 2, 3), (3, 4, 5), (64, 64, 64), (72, 72, 72), (33, 17, 65), (128, 64, 24)]


@pytest.mark.parametrize("m, n, p", SIZES)
def test_matmul(device, m, n, p):
    a, x = pair(device, m, n)
    b, y = pair(device, n, p)
    check(x @ y, a @ b)
    check(y.permute((1, 0)) @ x.permute((1, 0)), b.T @ a.T)
    out = nd.NDArray.make((m, p), device=device)
    device.matmul(x._handle, y._handle, out._handle, m, n, p)
    check(out, a @ b)


def test_batched_matmul(device):
    for s, t in (((5, 3, 4), (5, 4, 2)), ((2, 1, 3, 4), (5, 4, 2)), ((3, 4), (6, 4, 2))):
        (a, x), (b, y) = pair(device, *s), pair(device, *t)
        check(x @ y, a @ b)


def test_matmul_tiled(device):
    if not hasattr(device, "matmul_tiled"):
        assert device.name != "cpu"
        return
    tile = device.__tile_size__

    def tiled(a):
        rows, columns = a.shape
        return nd.array(a.reshape(rows // tile, tile, columns // tile, tile).transpose(0, 2, 1, 3), device=device)

    m, n, p = 2 * tile, 3 * tile, 4 * tile
    (a, _), (b, _) = pair(device, m, n), pair(device, n, p)
    out = nd.NDArray.make((m // tile, p // tile, tile, tile), device=device)
    out.fill(np.nan)
    device.matmul_tiled(tiled(a)._handle, tiled(b)._handle, out._handle, m, n, p)
    check(out, tiled(a @ b).numpy())


FLIPS = [((4, 5), 0), ((4, 5), (0, 1)), ((2, 3, 4), (1, -1)), ((5,), None), ((3, 3, 6, 8), (1, 2))]


@pytest.mark.parametrize("shape, axes", FLIPS)
def test_flip(device, shape, axes):
    a, x = pair(device, *shape)
    check(x.flip(axes), np.flip(a, axes))
    check(nd.flip(x.permute(range(len(shape))[::-1]), axes), np.flip(a.T, axes))


def test_pad(device):
    a, x = pair(device, 2, 3, 4, 5)
    for widths in (((0, 0), (1, 2), (3, 0), (0, 4)), ((0, 0),) * 4):
        check(x.pad(widths), np.pad(a, widths))


def test_seven_axes(device):
    a, x = pair(device, 2, 3, 2, 3, 2, 3, 2)
    order = (6, 2, 4, 0, 5, 1, 3)
    check(x.permute(order), a.transpose(order), view_of=x)
    check(x.permute(order).compact(), a.transpose(order))
    check(x.permute(order).flip((1, 3, 5)), np.flip(a.transpose(order), (1, 3, 5)))
    check(x.permute(order).sum((0, 2, 4)), a.transpose(order).sum((0, 2, 4)))
    check(x[:, ::2, 1, :, :, 1:3, :] * 2, a[:, ::2, 1:2, :, :, 1:3, :] * 2)


def test_large_transposes_and_layouts(device):
    a, x = pair(device, 130, 257)
    check(x.permute((1, 0)).compact(), a.T)
    image, y = pair(device, 3, 16, 33, 35)
    for order in ((0, 2, 3, 1), (0, 3, 1, 2), (1, 0, 3, 2), (3, 2, 1, 0)):
        check(y.permute(order).compact(), image.transpose(order))


def test_module_functions(device):
    a, x = pair(device, 3, 4, low=0.5)
    check(nd.full((2, 3), 2.5, device=device), np.full((2, 3), 2.5))
    assert nd.empty((2, 3), device=device).shape == (2, 3)
    check(nd.broadcast_to(nd.reshape(x, (1, 12)), (2, 12)).compact(), np.broadcast_to(a.reshape(1, 12), (2, 12)))
    check(nd.maximum(x, 1.0), np.maximum(a, 1))
    check(nd.log(x), np.log(a))
    check(nd.exp(x), np.exp(a))
    check(nd.tanh(x), np.tanh(a))
    check(nd.sum(x, axis=0, keepdims=True), a.sum(axis=0, keepdims=True))


def test_subclasses(device):
    class Mine(nd.NDArray):
        def twice(self):
            return self + self

    x = Mine([1, 2], device=device)
    x.name = "mine"
    check(x.twice(), [2, 4])
