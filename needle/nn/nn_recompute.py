"""Activation checkpointing: what lies between the inputs and outputs of a function is computed again for its gradient.

Backward then needs the memory of one such segment at a time, for one more forward pass. Segments may be nested.
Source: Chen et al., "Training deep nets with sublinear memory cost", 2016.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast
from weakref import ref

import numpy

from .. import autograd
from ..autograd import Tensor, TensorTuple, TensorTupleOp, Value, find_topo_sort
from ..errors import NeedleError
from ..grad_mode import switch
from ..ops.composite import pullback
from ..ops.ops_reshape import permute
from .module import Module

__all__ = ["Recompute"]  # the function is needle.recompute


def recompute(fn: Callable[..., Any], *inputs: Any) -> Any:
    """fn(*inputs), without keeping what is computed in between: the gradient computes it again.

    `inputs` may hold Tensors of any shape and anything else; the outcome is a Tensor or a tuple of Tensors. Parameters
    and Tensors computed before that `fn` uses get their gradients as ever. The second run draws the same numbers from
    numpy's global generator and leaves running statistics alone; any other side effect of `fn` happens twice. Gradients
    have the bits that they have without it, but where a Tensor is used several times inside and outside too: sums in
    another order. They can be differentiated again. Raises NeedleError when `fn` gives anything but Tensors.
    """
    if autograd.LAZY_MODE or not switch.on:
        return fn(*inputs)
    segment = _Segment(fn, inputs)
    given = [x for x in inputs if isinstance(x, Tensor)]
    constants = [_constant(x) for x in given]
    found = segment.run(constants)
    outputs = [found] if isinstance(found, Tensor) else found
    if not isinstance(outputs, tuple | list) or not all(isinstance(y, Tensor) for y in outputs):
        raise NeedleError(f"[recompute] the function must give Tensors, one or a tuple, got a {type(found).__name__}")
    alone, data = isinstance(found, Tensor), [y.realize_cached_data() for y in outputs]
    leaves, uses = _ends(outputs, constants)
    del found, outputs  # and with them all that the segment has made: what is there still was there before
    captured = dict.fromkeys(x() for x, user in uses if x() is not None and user() is None)
    value = _value(_Recompute(segment, len(given)), [*given, *leaves, *captured], data)
    return value[0] if alone else value.tuple()


def _ends(outputs: Sequence[Tensor], constants: Sequence[Tensor]) -> tuple[list[Value], list[tuple[Any, Any]]]:
    """The leaves that the outputs depend on, and (x, user) for each x on the way there that depends on no constant.

    Those are references that keep nothing: x was there before the segment ran, or is one of its own results.
    """
    order, known = find_topo_sort(list(outputs)), set[Value](constants)
    leaves = [x for x in order if x.op is None and x.requires_grad and x not in known]
    for node in order:
        if not known.isdisjoint(node.inputs):
            known.add(node)
    others = {x for x in order if x.op is not None and x.requires_grad and x not in known}
    uses = [(ref(x), ref(node)) for node in order for x in node.inputs if x in others]
    return leaves, uses + [(ref(y), lambda: None) for y in outputs if y in others]


class Recompute(Module):
    """y = module(x), x of any shape: during training what is computed in between is not kept but computed again.

    See `needle.recompute`. Raises NeedleError when the module gives anything but Tensors.
    """

    def __init__(self, module: Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Any) -> Any:
        return recompute(self.module, *inputs) if self.training else self.module(*inputs)


class _Segment:
    """A function of some Tensors, with the generator as it was when it ran first."""

    def __init__(self, fn: Callable[..., Any], inputs: Sequence[Any]) -> None:
        self.fn = fn
        self.inputs = [None if isinstance(x, Tensor) else (x,) for x in inputs]
        self.random = numpy.random.get_state()

    def run(self, given: Sequence[Value]) -> Any:
        """fn on these Tensors, and on what else it was given."""
        rest = iter(given)
        return self.fn(*[next(rest) if x is None else x[0] for x in self.inputs])

    def adjoints(self, given: Sequence[Value], leaves: Sequence[Value], grads: Sequence[Tensor]) -> list[Any]:
        """The adjoints of the Tensors and of the other ends, those of the outputs given, from another run."""
        now, before = numpy.random.get_state(), autograd.RECOMPUTING
        numpy.random.set_state(self.random)
        autograd.RECOMPUTING = True
        try:
            return pullback(lambda *_: self.run(given), [*given, *leaves], grads)
        finally:
            autograd.RECOMPUTING = before
            numpy.random.set_state(now)


class _Recompute(TensorTupleOp):
    """outputs = fn(given), as a function of the `count` given Tensors and of the leaves and results that fn uses."""

    def __init__(self, segment: _Segment, count: int) -> None:
        self.segment, self.count = segment, count

    def gradient(self, out_grad: TensorTuple, node: Value) -> tuple[Any, ...]:
        given, leaves, grads = node.inputs[: self.count], node.inputs[self.count :], list(out_grad)
        found = self.segment.adjoints([_constant(x) for x in given], leaves, [g.detach() for g in grads])
        known = [i for i, adjoint in enumerate(found) if adjoint is not None]
        op = _RecomputeGradient(self.segment, self.count, len(grads), known)
        value = _value(op, [*grads, *given, *leaves], [found[i].realize_cached_data() for i in known])
        return tuple(value[known.index(i)] if i in known else None for i in range(len(found)))


class _RecomputeGradient(TensorTupleOp):
    """The adjoints of some inputs of a `_Recompute`, as a function of those of its outputs and of its inputs."""

    def __init__(self, segment: _Segment, count: int, outputs: int, known: list[int]) -> None:
        self.segment, self.count, self.outputs, self.known = segment, count, outputs, known

    def gradient(self, out_grad: TensorTuple, node: Value) -> tuple[Any, ...]:
        end = self.outputs + self.count
        inputs = [permute(x, range(len(x.shape))) for x in cast(list[Tensor], node.inputs[:end])]
        leaves = list(node.inputs[end:])

        def formula(*_: Tensor) -> list[Any]:
            found = self.segment.adjoints(inputs[self.outputs :], leaves, inputs[: self.outputs])
            return [found[i] for i in self.known]

        return tuple(pullback(formula, [*inputs, *leaves], list(out_grad)))


def _constant(x: Value) -> Tensor:
    return Tensor.make_const(x.realize_cached_data(), requires_grad=x.requires_grad)


def _value(op: TensorTupleOp, inputs: Sequence[Value], data: Sequence[Any]) -> TensorTuple:
    """The tuple of these arrays as a node that depends on `inputs` by way of `op`, and on nothing else."""
    value = TensorTuple.__new__(TensorTuple)
    needed = switch.on and any(x.requires_grad for x in inputs)
    value._init(op if needed else None, inputs if needed else [], cached_data=tuple(data), requires_grad=needed)
    return value
