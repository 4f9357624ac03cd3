"""needle: a complete small deep-learning library."""

from . import ops  # isort: skip  (everything is made of ops)
from . import autograd, init, backend_selection  # isort: skip

from .autograd import Tensor, TensorTuple
from .backend_selection import *
from .init import ones, ones_like, zeros, zeros_like
from .ops import *
