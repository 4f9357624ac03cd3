"""Tuples of tensors as values of the graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from .. import autograd
from ..autograd import Tensor, TensorOp, TensorTuple, TensorTupleOp, Value
from ..errors import DTypeError, IndexRangeError
from ..grad_mode import switch
from ..types import Type
from . import array_compat
from .attributes import PlainFields
from .dtype_rules import with_scalar
from .ops_mathematic import AddScalar

__all__ = ["FusedAddScalars", "MakeTensorTuple", "TupleGetItem", "fused_add_scalars", "make_tuple", "tuple_get_item"]


class Zeros(Tensor):
    """0: the adjoint of an item of a tuple that is not used. Adding it costs nothing; its data is made on demand."""

    @classmethod
    def of(cls, type: Type, like: Tensor) -> Zeros:
        """Zeros of a type, in the kind of array and on the device of `like`."""
        zeros = cls.__new__(cls)
        zeros._init(_Zero(type.shape), [like], requires_grad=False, type=type)
        return zeros

    def detach(self) -> Zeros:
        return self

    def __add__(self, other: Any) -> Any:
        return other if isinstance(other, Tensor) else super().__add__(other)

    __radd__ = __add__


@dataclass(frozen=True)
class _Zero(TensorOp):
    """y = 0"""

    shape: tuple[int, ...]

    def compute(self, like: Any) -> Any:
        return array_compat.zeros(like, self.shape)


@dataclass(frozen=True)
class MakeTensorTuple(TensorTupleOp):
    """y = (x_0, x_1, ...)"""

    def __call__(self, *args: Value) -> TensorTuple:
        _check("make_tuple", "Tensors", Value, *args)
        if not switch.on and not autograd.LAZY_MODE:
            return TensorTuple.make_const(tuple(x.realize_cached_data() for x in args))
        value = TensorTuple.__new__(TensorTuple)
        value._init(self, list(args), type=tuple([x.type for x in args]))  # its data is only that of its items
        return value

    def infer(self, *args: Type) -> tuple[Type, ...]:
        return args

    def compute(self, *args: Any) -> Any:
        return args

    def gradient(self, out_grad: TensorTuple, node: Any) -> Any:
        return tuple(out_grad)


class Items(TensorTuple):
    """A tuple that is 0 besides a few `items`, by number: the adjoint of a tuple some of whose items were used.

    Adding two costs nothing for the items that are 0, so that the gradient of a loop over T slices takes T steps.
    """

    items: dict[int, Tensor]
    like: Tensor
    _all: Sequence[Value] = ()

    @classmethod
    def of(cls, type: tuple[Type, ...], items: dict[int, Tensor], like: Tensor, requires_grad: bool) -> Items:
        """Of a type, in the kind of array and on the device of `like`."""
        value = cls.__new__(cls)
        value.items, value.like = items, like
        value._init(MakeTensorTuple(), (), requires_grad=requires_grad, type=type)
        return value

    @property
    def inputs(self) -> Sequence[Value]:
        """Every item, the zeros too, made when somebody asks."""
        if not self._all:
            zeros = {type: Zeros.of(type, self.like) for type in set(self.type)}
            self._all = [self.items.get(i, zeros[type]) for i, type in enumerate(self.type)]
        return self._all

    @inputs.setter
    def inputs(self, value: Sequence[Value]) -> None:
        self._all = value

    def __add__(self, other: TensorTuple) -> TensorTuple:
        if not isinstance(other, Items):
            return super().__add__(other)
        items = dict(self.items)
        for i, item in other.items.items():
            items[i] = items[i] + item if i in items else item
        return Items.of(self.type, items, self.like, self.requires_grad or other.requires_grad)


@dataclass(frozen=True)
class TupleGetItem(TensorOp):
    """y = x[index], one tensor of a tuple"""

    index: int

    def __call__(self, a: TensorTuple, fold_const: bool = True) -> Tensor:  # type: ignore[override]
        _check("tuple_get_item", "a TensorTuple", TensorTuple, a)
        if fold_const and isinstance(a.op, MakeTensorTuple):
            return cast(Tensor, self._chosen(a.inputs))
        return Tensor.make_from_op(self, [a])

    def infer(self, items: tuple[Type, ...]) -> Type:
        return cast(Type, self._chosen(items))

    def _chosen(self, items: Any) -> Any:
        if not 0 <= self.index < len(items):
            raise IndexRangeError(f"[tuple_get_item] index must be in 0..{len(items) - 1}, got {self.index}")
        return items[self.index]

    def compute(self, items: Any) -> Any:
        return items[self.index]

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        like = out_grad if out_grad.cached_data is None else out_grad.detach()  # which leads back to no node
        return Items.of(node.inputs[0].type, {self.index: out_grad}, like, out_grad.requires_grad)


@dataclass(frozen=True)
class FusedAddScalars(PlainFields, TensorTupleOp):
    """y = (a + c0, a + c1)"""

    c0: float
    c1: float

    def infer(self, a: Type) -> tuple[Type, ...]:
        return with_scalar("fused_add_scalars", a, self.c0), with_scalar("fused_add_scalars", a, self.c1)

    def compute(self, a: Any) -> Any:
        return tuple(AddScalar(c).compute(a) for c in (self.c0, self.c1))

    def gradient(self, out_grad: TensorTuple, node: Any) -> Any:
        return out_grad[0] + out_grad[1]


def _check(where: str, what: str, kind: type, *values: Any) -> None:
    """DTypeError unless the values are of this kind."""
    others = [type(x).__name__ for x in values if not isinstance(x, kind)]
    if others:
        raise DTypeError(f"[{where}] needs {what}, got {', '.join(others)}")


def make_tuple(*args: Value) -> TensorTuple:
    """The tensors as one TensorTuple."""
    return MakeTensorTuple()(*args)


def tuple_get_item(value: TensorTuple, index: int) -> Tensor:
    """One tensor of a tuple; of a tuple from `make_tuple`, the very tensor that went in.

    Raises IndexRangeError for a slice.
    """
    if isinstance(index, slice):
        raise IndexRangeError("[tuple_get_item] takes one index, got a slice: x.tuple() makes a tuple that has them")
    return TupleGetItem(index)(value)


def fused_add_scalars(a: Tensor, c0: float, c1: float) -> TensorTuple:
    """(a + c0, a + c1)."""
    return FusedAddScalars(c0, c1)(a)
