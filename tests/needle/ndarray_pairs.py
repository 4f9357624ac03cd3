"""Numpy arrays and NDArrays with the same numbers, and how they are compared."""

import numpy as np

from needle import backend_ndarray as nd

DEVICES = [device for device in nd.all_devices() if device.enabled()]


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
