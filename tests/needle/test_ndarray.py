"""NDArray on every device: what it is made of, matrix products, flip, pad, many axes, subclasses."""

import numpy as np
import pytest
from ndarray_pairs import DEVICES, check, pair

from needle import backend_ndarray as nd
from needle.errors import DeviceError, NeedleError

pytestmark = pytest.mark.parametrize("device", DEVICES, ids=repr)


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
    for index in (1, -1, "0", True):
        with pytest.raises(DeviceError, match=r"\[cuda\] .* sees no CUDA device; got"):
            nd.cuda(index)


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
