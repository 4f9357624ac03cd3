"""The reference implementation of the composite kernels on numpy arrays; each keeps the dtype of its arguments."""

from ..kernels import exported

globals().update(exported(__name__))
