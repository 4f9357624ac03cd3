"""Samples of every op: one list that drives the tests of values, types, gradients and second gradients.

A sample is an op, its inputs as float64 arrays, and what is special about differentiating it. What the op means is in
`meaning.py`, its counterpart in PyTorch in `torch_ops.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from needle import ops
from tests.meaning import MEANING

Array = np.ndarray
draw = np.random.default_rng(0)


@dataclass(frozen=True)
class Case:
    """`op` applied to `inputs`: arrays, or a tuple of arrays where the op works on a TensorTuple."""

    op: Any
    inputs: tuple[Any, ...]
    fixed: tuple[int, ...] = ()  # inputs that are not differentiated: labels, ids, masks
    outputs: int | None = None  # how many of the outputs are differentiated; the others count as constants
    saved: Callable[..., tuple[Array, ...]] | None = None  # further inputs, which follow from the others

    @property
    def name(self) -> str:
        shapes = [[y.shape for y in x] if isinstance(x, tuple) else x.shape for x in self.inputs]
        return f"{self.op} {' '.join(map(str, shapes))}".replace(", ", ",")

    def meaning(self, *inputs: Any) -> Any:
        """The value, by the definition, for these inputs."""
        return MEANING[type(self.op)](self.op, *inputs)

    def all_inputs(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """`inputs` and what is saved of them."""
        return inputs + (self.saved(*inputs) if self.saved else ())


def normal(*shape: int) -> Array:
    return np.asarray(draw.standard_normal(shape))


def positive(*shape: int) -> Array:
    return np.asarray(draw.uniform(0.5, 2.0, shape))


def ids(n: int, *shape: int) -> Array:
    return np.asarray(draw.integers(0, n, shape)).astype(float)


def _softmax(x: Array) -> Array:
    return MEANING[ops.Softmax](None, x)


def _statistics(op: Any) -> Callable[..., tuple[Array, ...]]:
    """What a normalisation saves for its gradient (g, x, weight)."""
    return lambda g, x, weight: MEANING[type(op)](op, x, weight, weight)[1:]


def _lstm_saved(g: Array, d_cell: Array, *inputs: Array) -> tuple[Array, ...]:
    out, _, cells, activated = MEANING[ops.LSTM](None, *inputs)
    return out, cells, activated


def _attention_saved(op: Any) -> Callable[..., tuple[Array, ...]]:
    return lambda g, q, k, v: MEANING[ops.Attention](op, q, k, v)


PAIRS = [((3, 4), (3, 4)), ((3, 4), (4,)), ((2, 1, 3), (4, 1)), ((), (2, 3)), ((0, 3), (1, 3)), ((), ())]
SHAPES: list[tuple[int, ...]] = [(3, 4), (2, 3, 1, 2), (), (0, 3)]
STATES = ((3, 2, 8), (2, 2), (2, 2), (2, 8))  # gates, h0, c0, W of an LSTM
HEADS = ((2, 1, 3, 4), (2, 1, 5, 4), (2, 1, 5, 4))  # q, k, v

ARITHMETIC = [
    *(Case(op(), (normal(*a), positive(*b))) for op in (ops.EWiseAdd, ops.EWiseMul, ops.EWiseDiv) for a, b in PAIRS),
    *(Case(ops.EWisePow(), (positive(*a), normal(*b))) for a, b in PAIRS),
    *(
        Case(op, (normal(*shape),))
        for op in (ops.AddScalar(1.5), ops.MulScalar(-2.5), ops.DivScalar(3.0), ops.Negate(), ops.FusedAddScalars(1, 2))
        for shape in SHAPES
    ),
    *(Case(ops.PowerScalar(p), (positive(3, 4),)) for p in (-2, -0.5, 0, 0.5, 1, 2, 3)),
    *(Case(ops.PowerScalar(p), (np.array([-1.5, 0.0, 2.0]),)) for p in (0, 1, 2, 3)),
    *(Case(ops.PowerScalar(2.5), (positive(*shape),)) for shape in ((), (0, 2))),
    *(Case(op(), (normal(*s),)) for op in (ops.Exp, ops.ReLU, ops.Tanh, ops.Sigmoid) for s in SHAPES),
    *(Case(ops.Log(), (positive(*shape),)) for shape in SHAPES),
    *(Case(ops.ReLUGradient(), (normal(*shape), normal(*shape)), fixed=(1,)) for shape in SHAPES),
    *(Case(op(), (normal(*s), normal(*s))) for op in (ops.TanhGradient, ops.SigmoidGradient) for s in SHAPES),
]

SHAPE = [
    *(Case(ops.Transpose(axes), (normal(2, 3, 4),)) for axes in (None, (0, 2), (1, 0), (-1, -3))),
    Case(ops.Transpose(), (normal(0, 3),)),
    *(Case(ops.Permute(axes), (normal(2, 3, 4),)) for axes in ((0, 2, 1), (2, 0, 1), (-1, 0, 1))),
    Case(ops.Permute(()), (normal(),)),
    *(Case(ops.Reshape(shape), (normal(2, 3, 4),)) for shape in ((6, 4), (24,), (4, 3, 2), (-1, 4), (2, 1, 12))),
    *(Case(ops.Reshape(shape), (normal(1, 1),)) for shape in ((), (1,), (-1,))),
    Case(ops.Reshape((3, 0)), (normal(0, 2),)),
    *(Case(ops.BroadcastTo(to), (normal(*s),)) for s, to in (((3, 1), (3, 4)), ((4,), (2, 3, 4)), ((), (2, 2)))),
    *(Case(ops.BroadcastTo(to), (normal(*s),)) for s, to in (((1, 3), (0, 3)), ((2, 3), (2, 3)), ((1,), (1, 1, 1)))),
    *(Case(ops.Summation(axes), (normal(2, 3, 4),)) for axes in (None, 1, -1, (0,), (0, 1), (2, 0), (0, 1, 2), ())),
    *(Case(ops.Summation(axes), (normal(0, 3),)) for axes in (None, 0, 1)),
    Case(ops.Summation(), (normal(),)),
    *(Case(ops.Stack(axis), ((normal(2, 3), normal(2, 3), normal(2, 3)),)) for axis in (0, 1, 2, -1)),
    Case(ops.Stack(0), ((normal(), normal()),)),
    Case(ops.Stack(1), ((normal(0, 2),),)),
    *(Case(ops.Split(axis), (normal(2, 3, 4),)) for axis in (0, 1, 2, -1)),
    *(Case(ops.Split(0), (normal(*shape),)) for shape in ((3,), (2, 0))),
    *(Case(ops.Flip(axes), (normal(2, 3, 4),)) for axes in (None, (0,), (1, 2), -1)),
    Case(ops.Flip((0,)), (normal(0, 3),)),
    *(Case(ops.Dilate(axes, d), (normal(2, 3, 2),)) for axes, d in (((0,), 1), ((1, 2), 2), ((0, 1, 2), 0), (None, 1))),
    *(Case(ops.UnDilate(axes, d), (normal(4, 6),)) for axes, d in (((0,), 1), ((1,), 2), ((0, 1), 1), (None, 0))),
    *(Case(op((0,), 1), (normal(0, 3),)) for op in (ops.Dilate, ops.UnDilate)),
    Case(ops.FusedAddScalars(1, 2), (normal(3),), outputs=1),
    Case(ops.MakeTensorTuple(), (normal(2), normal(3, 1))),
    Case(ops.TupleGetItem(1), ((normal(2), normal(3, 1)),)),
]

PRODUCTS = [
    *(
        Case(ops.MatMul(), (normal(*a), normal(*b)))
        for a, b in [
            ((3, 4), (4, 2)), ((1, 1), (1, 1)), ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5)), ((2, 3, 4), (2, 4, 5)),
            ((2, 1, 3, 4), (3, 4, 2)), ((1, 3, 4), (2, 4, 2)), ((0, 4), (4, 2)), ((2, 0), (0, 3)), ((2, 3, 0), (0, 2)),
        ]
    ),
    *(
        Case(ops.Conv(stride, padding), (normal(2, *size, 2), normal(k, k, 2, 3)))
        for size, k, stride, padding in [
            ((5, 5), 3, 1, 0), ((5, 5), 3, 1, 1), ((6, 5), 3, 2, 1), ((7, 6), 3, 3, 0), ((4, 4), 1, 1, 0),
            ((5, 4), 1, 2, 0), ((6, 6), 2, 2, 0), ((5, 6), 4, 3, 2), ((1, 1), 3, 1, 1), ((2, 2), 2, 1, 3),
        ]
    ),
    Case(ops.Conv(1, 1), (normal(0, 4, 4, 2), normal(3, 3, 2, 2))),
    Case(ops.ConvInputGradient(1, 1, 4, 5), (normal(2, 4, 5, 3), normal(3, 3, 2, 3))),
    Case(ops.ConvInputGradient(2, 1, 6, 5), (normal(2, 3, 3, 3), normal(3, 3, 2, 3))),
    Case(ops.ConvInputGradient(3, 0, 7, 8), (normal(1, 2, 2, 2), normal(3, 3, 1, 2))),
    Case(ops.ConvWeightGradient(1, 1, 3), (normal(2, 4, 5, 2), normal(2, 4, 5, 3))),
    Case(ops.ConvWeightGradient(2, 1, 3), (normal(2, 6, 5, 2), normal(2, 3, 3, 3))),
    Case(ops.ConvWeightGradient(3, 0, 3), (normal(1, 7, 8, 1), normal(1, 2, 2, 2))),
]  # fmt: skip

SOFTMAX = [
    *(Case(ops.LogSumExp(axes), (normal(2, 3, 4),)) for axes in (None, 1, -1, (0,), (0, 2), (0, 1, 2))),
    Case(ops.LogSumExp(), (normal(),)),
    Case(ops.LogSumExp((1,)), (normal(0, 3),)),
    *(Case(op(), (normal(*s),)) for op in (ops.Softmax, ops.LogSoftmax) for s in ((3, 4), (2, 3, 5), (4,), (0, 3))),
    *(Case(ops.SoftmaxGradient(), (normal(*s), _softmax(normal(*s)))) for s in ((3, 4), (2, 2, 3), (0, 2))),
    *(Case(ops.LogSoftmaxGradient(), (normal(*s), np.log(_softmax(normal(*s))))) for s in ((3, 4), (2, 2, 3))),
    *(Case(ops.CrossEntropy(s), (normal(4, 3), ids(3, 4)), fixed=(1,)) for s in (0.0, 0.1)),
    *(Case(ops.CrossEntropyGradient(s), (normal(1), normal(4, 3), ids(3, 4)), fixed=(2,)) for s in (0.0, 0.1)),
]

NORMS = [
    *(
        Case(op(1e-3), (normal(*shape), positive(shape[-1]), normal(shape[-1])), outputs=1)
        for op, shape in [
            (ops.BatchNorm, (5, 3)), (ops.BatchNorm, (2, 3, 2, 2)), (ops.BatchNorm, (6, 1)),
            (ops.LayerNorm, (3, 5)), (ops.LayerNorm, (2, 2, 4)), (ops.LayerNorm, (6,)),
        ]
    ),
    *(
        Case(gradient(1e-3), (normal(*s), normal(*s), positive(s[-1])), saved=_statistics(op(1e-3)))
        for op, gradient, s in [
            (ops.BatchNorm, ops.BatchNormGradient, (5, 3)), (ops.BatchNorm, ops.BatchNormGradient, (2, 3, 2)),
            (ops.LayerNorm, ops.LayerNormGradient, (3, 5)), (ops.LayerNorm, ops.LayerNormGradient, (2, 2, 4)),
        ]
    ),
    *(
        Case(ops.BatchNormInference(1e-3), (normal(*s), *(positive(s[-1]) for _ in range(4))))
        for s in ((5, 3), (2, 2, 2, 2))
    ),
]  # fmt: skip

SEQUENCES = [
    *(Case(ops.Embed(), (ids(5, *shape), normal(5, 3)), fixed=(0,)) for shape in ((4,), (2, 3), (0, 2), ())),
    *(Case(ops.EmbedGradient(5), (normal(*shape, 3), ids(5, *shape)), fixed=(1,)) for shape in ((4,), (2, 3), (0,))),
    *(Case(ops.LSTM(), tuple(normal(*shape) for shape in STATES), outputs=n) for n in (1, 2)),
    Case(ops.LSTM(), tuple(normal(*shape) for shape in ((1, 1, 4), (1, 1), (1, 1), (1, 4))), outputs=2),
    Case(ops.LSTMGradient(), (normal(3, 2, 2), *(normal(*s) for s in (STATES[1], *STATES))), saved=_lstm_saved),
    *(Case(ops.Attention(0.5, causal), tuple(normal(*s) for s in HEADS), outputs=1) for causal in (False, True)),
    *(
        Case(op, (normal(*HEADS[0]), *(normal(*shape) for shape in HEADS)), saved=_attention_saved(op))
        for op in (ops.AttentionGradient(0.5), ops.AttentionGradient(0.5, True))
    ),
]

CASES: list[Case] = ARITHMETIC + SHAPE + PRODUCTS + SOFTMAX + NORMS + SEQUENCES
