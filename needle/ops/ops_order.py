"""Places of the largest and smallest elements, the largest ones in order, running sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy

from ..autograd import Tensor, TensorOp, TensorTuple, TensorTupleOp
from ..errors import ShapeError
from ..types import Type
from .attributes import PlainFields, axis_of
from .composite import saved
from .dtype_rules import total_dtype
from .ops_gather import GatherGradient
from .plain_op import by_numpy
from .shape_rules import replaced, without

__all__ = ["ArgMax", "ArgMin", "CumSum", "TopK", "cumsum", "topk"]


@dataclass(frozen=True)
class _Place(PlainFields, TensorOp):
    """The place of an element along an axis, which goes away or, with `keepdims`, has size 1; int64, no gradient."""

    find: ClassVar[Any]
    dtype: ClassVar[str] = "int64"
    axis: int = 0
    keepdims: bool = False
    last: bool = False

    def infer(self, x: Type) -> Type:
        axis = axis_of("arg", self.axis, len(x.shape))
        if x.shape[axis] == 0:
            raise ShapeError(f"[arg] needs at least one element along axis {axis}, got {x.shape}")
        return Type(replaced(x.shape, axis, 1) if self.keepdims else without(x.shape, (axis,)), "int64")

    def compute(self, x: Any) -> Any:
        def place(x: Any) -> Any:
            axis = self.axis % x.ndim
            found = self.find(numpy.flip(x, axis) if self.last else x, axis=axis)
            found = x.shape[axis] - 1 - found if self.last else found
            found = numpy.expand_dims(found, axis) if self.keepdims else numpy.asarray(found)
            return found.astype("int64")

        return by_numpy(place, x)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return (None,)


@dataclass(frozen=True)
class ArgMax(_Place):
    """y = the place of the largest element along an axis, of equal ones the first or, with `last`, the last"""

    find = staticmethod(numpy.argmax)


@dataclass(frozen=True)
class ArgMin(_Place):
    """y = the place of the smallest element along an axis, of equal ones the first or, with `last`, the last"""

    find = staticmethod(numpy.argmin)


@dataclass(frozen=True)
class CumSum(PlainFields, TensorOp):
    """y[..., i, ...] = sum of x[..., j, ...] over j <= i along an axis; j < i if `exclusive`, j >= i if `reverse`

    Of bool and integers in int64, as `Summation` has it.
    """

    axis: int = 0
    exclusive: bool = False
    reverse: bool = False

    def infer(self, x: Type) -> Type:
        axis_of("cumsum", self.axis, len(x.shape))
        return Type(x.shape, total_dtype(x.dtype))

    def compute(self, x: Any) -> Any:
        def summed(x: Any) -> Any:
            axis = self.axis % x.ndim
            run = numpy.flip(x, axis) if self.reverse else x
            y = numpy.cumsum(run, axis=axis, dtype=total_dtype(str(x.dtype)))
            if self.exclusive:
                y = numpy.roll(y, 1, axis)
                y[(slice(None),) * axis + (slice(0, 1),)] = 0
            return numpy.ascontiguousarray(numpy.flip(y, axis)) if self.reverse else y

        return by_numpy(summed, x)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return CumSum(self.axis, self.exclusive, not self.reverse)(out_grad)


@dataclass(frozen=True)
class TopK(PlainFields, TensorTupleOp):
    """y = the k largest (or smallest) elements along an axis, in order, and their places, which are int64

    Of equal elements the first counts.
    """

    k: int
    axis: int = -1
    largest: bool = True

    def infer(self, x: Type) -> tuple[Type, ...]:
        axis = axis_of("topk", self.axis, len(x.shape))
        if not 0 <= self.k <= x.shape[axis]:
            raise ShapeError(f"[topk] k must be in 0..{x.shape[axis]}, got {self.k}")
        shape = replaced(x.shape, axis, self.k)
        return Type(shape, x.dtype), Type(shape, "int64")

    def compute(self, x: Any) -> Any:
        def top(x: Any) -> Any:
            axis = self.axis % x.ndim
            turned = numpy.flip(x, axis) if self.largest else x  # so that the first of equal ones comes first
            order = numpy.argsort(turned, axis=axis, kind="stable")
            if self.largest:
                order = x.shape[axis] - 1 - numpy.flip(order, axis)
            places = numpy.take(order, numpy.arange(self.k), axis)
            return numpy.take_along_axis(x, places, axis), places.astype("int64")

        return by_numpy(top, x)

    def gradient(self, out_grad: TensorTuple, node: Any) -> Any:
        (x,) = node.inputs
        axis = axis_of("topk", self.axis, len(x.shape))
        return GatherGradient(axis, int(x.shape[axis]))(out_grad[0], saved(node, 1))


def cumsum(x: Tensor, axis: int = 0, exclusive: bool = False, reverse: bool = False) -> Tensor:
    """The running sums along an axis, of bool and integers in int64; see `CumSum`."""
    return CumSum(axis, exclusive, reverse)(x)


def topk(x: Tensor, k: int, axis: int = -1, largest: bool = True) -> TensorTuple:
    """(the k largest elements along an axis in descending order, their places); the smallest, ascending, if not so."""
    return TopK(k, axis, largest)(x)

