"""What a pointwise op is: its mathematics, a functor of csrc/nd/scalar.h, a rule for its dtype and a derivative.

    class ReLU(Pointwise, name="relu"):
        def plain(self, a):        # y = max(a, 0) on numpy arrays; on float32 NDArrays the kernel `relu`
            return numpy.maximum(a, a.dtype.type(0))

        def pullback(self, g, a):  # the adjoint of a in ops, so that it can be differentiated again
            return where(a > 0, g, 0.0)

Everything else follows: the kernel and the functor from the name, the gradient's op, the function of Tensors, the
module, the line of a generated program, and that a permutation of axes passes through it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import Field, dataclass, fields
from typing import Any, ClassVar, dataclass_transform

from ..autograd import Tensor, TensorOp
from ..backend_ndarray.kernels import pointwise
from ..types import Type
from . import array_compat
from .attributes import PlainFields
from .composite import gradient_of
from .dtype_rules import Rule, elementwise, promoted_type


@dataclass_transform(frozen_default=True)
class Pointwise(TensorOp):
    """y = f(operands): each element depends on those at its place in the operands, which broadcast.

    A subclass gives

    - `name`, of its kernel and in messages, whose functor is this name in CamelCase;
    - how many `operands` it has, and fields: numbers, which the functor takes in this order;
    - `result`, the rule of its dtype (dtype_rules.py), or `infer`;
    - `plain`, its value on numpy arrays;
    - `gradient`. That of one operand is by default one kernel, the functor's `gradient`, whose meaning in ops is g
      times `derivative`, or `pullback` where it is not: of the operand or, with `of_result`, of the result.
    """

    name: ClassVar[str]
    operands: ClassVar[int]
    of_result: ClassVar[bool]
    settings: ClassVar[tuple[Field[Any], ...]] = ()
    plain: ClassVar[Any]
    kernel: Any  # its name; an op that has several says which by a property
    numbers: Any = ()  # what the functor is made with
    __post_init__: ClassVar[Any]

    def __init_subclass__(
        cls, name: str = "", operands: int = 1, result: Callable[[type[Pointwise]], Rule] = promoted_type,
        of_result: bool = False, promotes: bool = False,
    ) -> None:  # fmt: skip
        own = vars(cls)
        if "__annotations__" in own:
            cls.__post_init__ = _as_plain_python if "numbers" in own else _with_numbers
        cls.name, cls.operands, cls.of_result, cls.promotes = name, operands, of_result, promotes
        cls.settings = fields(dataclass(frozen=True)(cls))  # type: ignore[arg-type]  # which it is from here on
        if "kernel" not in own:
            cls.kernel = name
        if "infer" not in own:
            cls.infer = result(cls)

    @property
    def functor(self) -> str:
        """The name of the functor in csrc/nd/scalar.h."""
        return "".join(map(str.capitalize, self.kernel.split("_")))

    def compute(self, *operands: Any) -> Any:
        if len(operands) == 2:
            operands = array_compat.aligned(*operands)
        if self.settings:
            operands += self.numbers
        return pointwise(self.kernel, self.plain, *operands)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return PointwiseGradient(self)(out_grad, node if self.of_result else node.inputs[0])

    def derivative(self, a: Tensor) -> Tensor:
        """dy/da, in ops."""
        raise NotImplementedError

    def pullback(self, g: Tensor, a: Tensor) -> Tensor:
        """The adjoint of the operand, given that of the result: g dy/da, in ops."""
        return g * self.derivative(a)


@dataclass(frozen=True)
class PointwiseGradient(TensorOp):
    """da = g dy/da, y = op(a): of the operand a or, where the op says so, of the result y"""

    op: Pointwise

    @property
    def numbers(self) -> Any:
        """What the functor is made with."""
        return self.op.numbers

    @property
    def functor(self) -> str:
        """The functor in csrc/nd/scalar.h."""
        return f"Gradient<{self.op.functor}>"

    def infer(self, g: Type, a: Type) -> Type:
        return elementwise(f"{self.op.name}_gradient", g, a)

    def compute(self, g: Any, a: Any) -> Any:
        g, a = array_compat.aligned(g, a)
        return pointwise(f"{self.op.kernel}_gradient", self._plain, g, a, *self.numbers)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return gradient_of(self.op.pullback, out_grad, node)

    def _plain(self, g: Any, a: Any, *numbers: float) -> Any:
        return self.op.pullback(Tensor.make_const(g), Tensor.make_const(a)).realize_cached_data()


_as_plain_python = PlainFields.__post_init__


def _with_numbers(op: Pointwise) -> None:
    """What runs once an op with fields is made: they become plain Python, and what the functor is made with."""
    _as_plain_python(op)  # type: ignore[arg-type]
    object.__setattr__(op, "numbers", tuple(op.__dict__.values()))
