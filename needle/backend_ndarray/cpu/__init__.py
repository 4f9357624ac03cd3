"""The composite kernels on NDArrays of device cpu()."""

from ..kernels import exported

globals().update(exported(__name__))
