"""Views of an NDArray: numpy's strides, shared memory, writes in place, refusals."""

import numpy as np
import pytest
from ndarray_pairs import DEVICES, check, pair

from needle import backend_ndarray as nd
from needle.backend_ndarray import layout
from needle.errors import BroadcastError, IndexRangeError, ShapeError

pytestmark = pytest.mark.parametrize("device", DEVICES, ids=repr)


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


def test_floats_are_no_sizes_and_no_axes(device):
    """Not even where they are whole: to the cache of what was asked before, 1.0 is 1."""
    x = nd.NDArray(np.arange(53.0 * 2).reshape(53, 2), device=device)
    layout.compact_strides.cache_clear()
    layout.distinct_axes.cache_clear()
    for wrong in (lambda: x.reshape((2, 53.0)), lambda: x.flip((1.0,)), lambda: nd.NDArray.compact_strides((2.0, 53))):
        with pytest.raises(ShapeError, match="must be whole numbers, got"):
            wrong()
    y = x.reshape((np.int64(2), 53))
    assert (y + 1).strides == (53, 1) and x.flip((1,)).shape == (53, 2)
    assert [type(n) for n in (*y.shape, *y.strides)] == [int] * 4


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
