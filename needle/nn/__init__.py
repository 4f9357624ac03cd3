"""Neural networks, modules and losses: the names in the `__all__` of each module here."""
# ruff: noqa: F403

from typing import TYPE_CHECKING, Any

from . import lora as lora
from .nn_activation import *
from .nn_attention import *
from .nn_basic import *
from .nn_conv import *
from .nn_loss import *
from .nn_named import *
from .nn_norm import *
from .nn_pool import *
from .nn_recompute import *
from .nn_sequence import *
from .nn_transformer import *

if not TYPE_CHECKING:  # a type checker follows the stars by itself
    __all__ = [name for key, module in sorted(vars().items()) if key.startswith("nn_") for name in module.__all__]
else:

    def __getattr__(name: str) -> Any: ...  # the activation functions, whose modules are made of their ops
