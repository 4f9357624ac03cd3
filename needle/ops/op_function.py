"""An op as a function of Tensors, with the signature and the documentation that its class implies.

    relu = function(ReLU, "max(a, 0), elementwise.")  # relu(a: Tensor) -> Tensor
    leaky_relu = function(LeakyReLU, operands="x")    # leaky_relu(x: Tensor, slope: float = 0.01) -> Tensor
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING
from typing import Any

from ..autograd import Tensor
from .pointwise import Pointwise


def function(op: type[Pointwise], about: str = "", operands: str = "") -> Callable[..., Tensor]:
    """`op` as a function of Tensors, named by `operands` or a and b, and then of its settings.

    Its docstring is the mathematics of the op, without the "y = ", or `about`.
    """
    names, kind = operands.split() or ["a", "b"][: op.operands], inspect.Parameter.POSITIONAL_OR_KEYWORD
    given = [inspect.Parameter(name, kind, annotation=Tensor) for name in names]
    for each in op.settings:
        default = inspect.Parameter.empty if each.default is MISSING else each.default
        given.append(inspect.Parameter(each.name, kind, default=default, annotation=each.type))
    signature = inspect.Signature(given, return_annotation=Tensor)
    count, alone = len(names), None if op.settings else op()

    def call(*args: Any, **named: Any) -> Tensor:
        if named or len(args) != len(given):
            args = _bound(op.name, signature, args, named)
        return (alone or op(*args[count:]))(*args[:count])

    call.__name__ = call.__qualname__ = op.name
    call.__doc__ = about or f"{(op.__doc__ or '').partition(chr(10))[0].removeprefix('y = ')}, elementwise."
    call.__signature__ = signature  # type: ignore[attr-defined]  # which help() shows
    call.__module__ = op.__module__
    return call


def _bound(name: str, signature: inspect.Signature, args: Any, named: Any) -> tuple[Any, ...]:
    """All arguments of a call, in order, those that it leaves out by their defaults."""
    try:
        bound = signature.bind(*args, **named)
    except TypeError as error:
        raise TypeError(f"{name}() {error}") from None
    bound.apply_defaults()
    return bound.args
