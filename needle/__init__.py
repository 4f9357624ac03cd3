"""needle: a complete small deep-learning library."""
# ruff: noqa: F401, F403  (this is the surface: names for others)

import builtins
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# isort: off
from . import ops  # first: everything else is made of ops
from . import autograd, init, data, nn, optim, backend_selection, training
# isort: on
from . import backend_ndarray
from .autograd import Tensor as Tensor
from .autograd import TensorTuple as TensorTuple
from .backend_selection import *  # (which names there are depends on the backend)
from .grad_mode import enable_grad, is_grad_enabled, no_grad
from .init import manual_seed, ones, ones_like, rand, randn, zeros, zeros_like
from .interop import from_dlpack, from_numpy
from .nn.nn_recompute import recompute
from .ops import *  # (its __all__ lists them)
from .optim import GradientAccumulator, clip_grad_norm, clip_grad_value
from .precision import get_float32_matmul_precision, set_float32_matmul_precision
from .training import TrainStep, check_gradients, fit, summary

if not TYPE_CHECKING:  # a star import leaves Python's own max, min and the like alone
    __all__ = [name for name in globals() if not name.startswith("_") and not hasattr(builtins, name)]

_INNER = {"grad_mode", "interop", "numpy_device", "operators", "precision", "tensor", "types"}


def __dir__() -> list[str]:
    """What people use: Tensor, functions and packages. Op classes and inner modules are there, but not listed."""
    names = [name for name in globals() if name[0] != "_" or name in ("__doc__", "__file__", "__version__")]
    hidden = {name for name in names if isinstance(globals()[name], type) and issubclass(globals()[name], autograd.Op)}
    return sorted(set(names) - hidden - _INNER - {"TYPE_CHECKING", "builtins"})
