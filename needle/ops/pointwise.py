"""What a pointwise op is: its mathematics, a functor of csrc/nd/scalar.h, a rule for its dtype and a derivative.

Everything else follows: the kernel and the functor from its name, the gradient's op, the function of Tensors, the
module, the line of a generated program, and that a permutation of axes passes through it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, ClassVar, dataclass_transform

from ..autograd import Tensor, TensorOp
from ..backend_ndarray.kernels import pointwise
from ..types import Type
from . import array_compat
from .attributes import PlainFields, number
from .composite import gradient_of
from .dtype_rules import elementwise, real, signed, with_scalar

Rule = Callable[..., Type]  # (op, *types of the operands) -> type of the result


def promoted_type(op: type[Pointwise]) -> Rule:
    """The dtype in which the operands meet; numbers are weak."""
    if op.operands == 2:
        return lambda self, a, b: elementwise(self.name, a, b)
    return _beside_numbers if op.settings else lambda self, a: a


def _beside_numbers(op: Pointwise, a: Type) -> Type:
    for value in op.numbers:
        a = with_scalar(op.name, a, value)
    return a


def floating(op: type[Pointwise]) -> Rule:
    """That of a real function: floats stay, integers become floats."""
    rule = promoted_type(op)
    return lambda self, *types: real(rule(self, *types))


def true_or_false(op: type[Pointwise]) -> Rule:
    """bool."""
    rule = promoted_type(op)
    return lambda self, *types: Type(rule(self, *types).shape, "bool")


def with_sign(op: type[Pointwise]) -> Rule:
    """As the operand, which is not bool."""
    return lambda self, a: signed(self.name, a)


@dataclass_transform(frozen_default=True)
class Pointwise(TensorOp):
    """y = f(operands): each element depends on those at its place in the operands, which broadcast.

    A subclass gives `name`, of its kernel and in messages, whose functor is this name in CamelCase; how many `operands`
    it has; `result`, the rule of its dtype, or `infer`; `plain`, its value on numpy arrays; and `gradient`. That of one
    operand is by default one kernel, the functor's `gradient`, whose meaning in ops is then `derivative`, or `pullback`
    where g times that will not do: of the operand or, with `of_result`, of the result. Fields are numbers, which the
    functor takes in this order.
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
            cls.__post_init__ = _plain_settings if "numbers" in own else _plain_numbers
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
            operands += tuple([number(self.name, value, operands[0].dtype) for value in self.numbers])
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
        settings = [number(self.op.name, value, a.dtype) for value in self.numbers]
        return pointwise(f"{self.op.kernel}_gradient", self._plain, g, a, *settings)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return gradient_of(self.op.pullback, out_grad, node)

    def _plain(self, g: Any, a: Any, *numbers: float) -> Any:
        return self.op.pullback(Tensor.make_const(g), Tensor.make_const(a)).realize_cached_data()


_plain_settings = PlainFields.__post_init__


def _plain_numbers(op: Pointwise) -> None:
    _plain_settings(op)  # type: ignore[arg-type]
    object.__setattr__(op, "numbers", tuple(op.__dict__.values()))


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
