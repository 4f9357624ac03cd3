"""Neural networks, modules and losses: the names in the `__all__` of each module here."""
# ruff: noqa: F403

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from . import lora as lora
else:  # a type checker follows the stars by itself
    __all__ = [name for key, module in sorted(vars().items()) if key.startswith("nn_") for name in module.__all__]


def __getattr__(name: str) -> Any:
    """`nn.lora`, which few programs need, on its first use."""
    if name == "lora":
        return import_module(".lora", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
