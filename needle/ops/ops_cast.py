"""Changing the dtype of a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from ..autograd import Tensor, TensorOp
from ..errors import DTypeError
from ..types import Type
from . import arrays
from .shapes import known_dtype
from .shapes import promoted as promoted_dtype

__all__ = ["Cast", "cast", "promoted"]


@dataclass(frozen=True)
class Cast(TensorOp):
    """y = x as `dtype`: floats are cut off towards zero for integers, and everything but 0 is True"""

    dtype: str

    def infer(self, x: Type) -> Type:
        return Type(x.shape, known_dtype("cast", self.dtype))

    def compute(self, x: Any) -> Any:
        return arrays.cast(x, known_dtype("cast", self.dtype))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return Cast(str(node.inputs[0].dtype))(out_grad)


def cast(x: Tensor, dtype: Any) -> Tensor:
    """x, of any shape, with elements of another dtype; x itself where it has that dtype. DTypeError if unknown."""
    name = known_dtype("cast", dtype)
    if not isinstance(x, Tensor):
        raise DTypeError(f"[cast] needs a Tensor, got {type(x).__name__}")
    return x if str(x.dtype) == name else Cast(name)(x)


def promoted(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors, of any shapes, cast to the one dtype in which they meet; see docs/dtypes.md.

    Raises DTypeError for what is no Tensor.
    """
    others = [type(x).__name__ for x in tensors if not isinstance(x, Tensor)]
    if others or not tensors:
        raise DTypeError(f"[promoted] needs Tensors, got {', '.join(others) or 'none'}")
    dtype = reduce(promoted_dtype, [str(x.dtype) for x in tensors])
    return [cast(x, dtype) for x in tensors]
