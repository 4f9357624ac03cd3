"""Every op, as a class and as a function of Tensors: the names in the `__all__` of each module here."""
# ruff: noqa: F403

from typing import TYPE_CHECKING

from .ops_activation import *
from .ops_broadcast import *
from .ops_cache import *
from .ops_cast import *
from .ops_compare import *
from .ops_conv import *
from .ops_conv_nd import *
from .ops_elementary import *
from .ops_flip import *
from .ops_gather import *
from .ops_getitem import *
from .ops_group_norm import *
from .ops_logarithmic import *
from .ops_loss import *
from .ops_mathematic import *
from .ops_matmul import *
from .ops_norm import *
from .ops_order import *
from .ops_pad import *
from .ops_pool import *
from .ops_power import *
from .ops_random import *
from .ops_recurrent import *
from .ops_reduce import *
from .ops_reshape import *
from .ops_sequence import *
from .ops_stack import *
from .ops_tuple import *
from .ops_upsample import *
from .pointwise import PointwiseGradient  # noqa: F401

if not TYPE_CHECKING:  # a type checker follows the stars by itself
    __all__ = [name for key, module in sorted(vars().items()) if key.startswith("ops_") for name in module.__all__]
