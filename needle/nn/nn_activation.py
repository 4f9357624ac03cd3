"""Activation functions as modules: each is made of its op, `nn.GELU` of `ops.GELU`."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any, ClassVar

from ..autograd import Tensor
from ..ops import ops_activation
from ..ops.pointwise import Pointwise
from .module import Module

OPS = [op for op in vars(ops_activation).values() if isinstance(op, type) and op.__module__ == ops_activation.__name__]
__all__ = [op.__name__ for op in OPS]


class Activation(Module):
    """y = f(x), elementwise: f is a pointwise op, whose settings are the module's."""

    op: ClassVar[type[Pointwise]]

    def __init__(self, *settings: Any, **named: Any) -> None:
        super().__init__()
        op = self.op(*settings, **named)
        for field in op.settings:
            setattr(self, field.name, getattr(op, field.name))

    def forward(self, x: Tensor) -> Tensor:
        return self.op(*[getattr(self, field.name) for field in self.op.settings])(x)


def _module(op: type[Pointwise]) -> type[Activation]:
    mathematics = re.sub(r"\ba\b", "x", (op.__doc__ or "").partition("\n")[0])
    about = {"__doc__": f"{mathematics}.", "__module__": __name__, "__signature__": inspect.signature(op)}
    return type(op.__name__, (Activation,), {"op": op, **about})


globals().update({op.__name__: _module(op) for op in OPS})
if TYPE_CHECKING:

    def __getattr__(name: str) -> type[Activation]: ...
