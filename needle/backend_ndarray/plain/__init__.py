"""The composite kernels on plain numpy arrays; every function keeps the dtype of its arguments."""

from ..kernels import exported

globals().update(exported(__name__))
