"""Samples, meaning, PyTorch counterpart and refusals of the ops of shape, order and tuples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from needle import ops
from tests.case import SHAPES, Array, Case, Refusal, axes_of, gathered, normal, torch


def transpose(op: Any, x: Array) -> Array:
    i, j = axes_of(op.axes or (-2, -1), x.ndim)
    order = list(range(x.ndim))
    order[i], order[j] = j, i
    return permute(ops.Permute(tuple(order)), x)


def permute(op: Any, x: Array) -> Array:
    axes = axes_of(op.axes, x.ndim)
    shape = tuple(x.shape[a] for a in axes)
    return gathered(shape, lambda index: x[tuple(index[axes.index(a)] for a in range(x.ndim))])


def reshape(op: Any, x: Array) -> Array:
    known = int(np.prod([n for n in op.shape if n != -1]))
    shape = tuple(x.size // known if n == -1 else n for n in op.shape)
    out = np.zeros(shape)
    for there, here in zip(np.ndindex(*shape), np.ndindex(*x.shape), strict=True):
        out[there] = x[here]
    return out


def broadcast_to(op: Any, x: Array) -> Array:
    extra = len(op.shape) - x.ndim
    return gathered(op.shape, lambda i: x[tuple(0 if n == 1 else i[extra + k] for k, n in enumerate(x.shape))])


def summation(op: Any, x: Array) -> Array:
    axes = axes_of(op.axes, x.ndim)
    out = np.zeros([n for i, n in enumerate(x.shape) if i not in axes])
    for index in np.ndindex(*x.shape):
        out[tuple(k for i, k in enumerate(index) if i not in axes)] += x[index]
    return out


def stack(op: Any, parts: tuple[Array, ...]) -> Array:
    shape = list(parts[0].shape)
    axis = op.axis % (len(shape) + 1)
    shape.insert(axis, len(parts))
    return gathered(tuple(shape), lambda i: parts[i[axis]][i[:axis] + i[axis + 1 :]])


def split(op: Any, x: Array) -> tuple[Array, ...]:
    return tuple(np.take(x, k, axis=op.axis) for k in range(x.shape[op.axis]))


def flip(op: Any, x: Array) -> Array:
    axes = axes_of(op.axes, x.ndim)
    return gathered(x.shape, lambda i: x[tuple(x.shape[a] - 1 - k if a in axes else k for a, k in enumerate(i))])


def dilate(op: Any, x: Array) -> Array:
    step, axes = op.dilation + 1, axes_of(op.axes, x.ndim)
    out = np.zeros([n * step if a in axes else n for a, n in enumerate(x.shape)])
    for index in np.ndindex(*x.shape):
        out[tuple(k * step if a in axes else k for a, k in enumerate(index))] = x[index]
    return out


def undilate(op: Any, x: Array) -> Array:
    step, axes = op.dilation + 1, axes_of(op.axes, x.ndim)
    shape = tuple(n // step if a in axes else n for a, n in enumerate(x.shape))
    return gathered(shape, lambda i: x[tuple(k * step if a in axes else k for a, k in enumerate(i))])


def reduced(function: Callable[..., Any]) -> Callable[..., Any]:
    """A reduction over the op's axes; over all of them where it names none."""
    return lambda op, x: function(x, tuple(range(x.ndim)) if op.axes is None else op.axes)


CASES: list[Case] = [
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
    Case(ops.MakeTensorTuple(), (normal(2), normal(3, 1))),
    Case(ops.TupleGetItem(1), ((normal(2), normal(3, 1)),)),
    *(Case(ops.Cast("float64"), (normal(*shape),)) for shape in SHAPES),
    *(Case(ops.Cast(dtype), (2 * normal(3, 4),), outputs=0) for dtype in ("float32", "int32", "int64", "bool")),
]

MEANING: dict[type, Callable[..., Any]] = {
    ops.Transpose: transpose,
    ops.Permute: permute,
    ops.Reshape: reshape,
    ops.BroadcastTo: broadcast_to,
    ops.Summation: summation,
    ops.Stack: stack,
    ops.Split: split,
    ops.Flip: flip,
    ops.Dilate: dilate,
    ops.UnDilate: undilate,
    ops.MakeTensorTuple: lambda op, *parts: parts,
    ops.TupleGetItem: lambda op, parts: parts[op.index],
    ops.Cast: lambda op, x: {"i": np.trunc, "b": lambda x: x != 0, "f": np.copy}[op.dtype[0]](x),
}

TORCH: dict[type, Callable[..., Any]] = {
    ops.Transpose: lambda op, x: x.transpose(*(op.axes or (-1, -2))),
    ops.Permute: lambda op, x: x.permute(op.axes),
    ops.Reshape: lambda op, x: x.reshape(op.shape),
    ops.BroadcastTo: lambda op, x: x.broadcast_to(op.shape),
    ops.Summation: reduced(lambda x, axes: x.sum(axes) if axes != () else x * 1),
    ops.Stack: lambda op, parts: torch.stack(parts, op.axis),
    ops.Split: lambda op, x: x.unbind(op.axis),
    ops.Flip: reduced(lambda x, axes: x.flip(axes)),
    ops.Cast: lambda op, x: x.to(getattr(torch, op.dtype)),
}

REFUSALS: list[Refusal] = [
    (ops.Transpose(), ((3,),), r"\[transpose\] exchanges two axes, got axes \(-2, -1\) for 1 axes"),
    (ops.Transpose((0, 2)), ((3, 4),), r"\[transpose\] axis must be in -2\.\.1 for 2 axes, got 2"),
    (ops.Permute((0, 0)), ((3, 4),), r"\[permute\] axes must differ, got \(0, 0\)"),
    (ops.Permute((0,)), ((3, 4),), r"\[permute\] needs each of 2 axes once, got \(0,\)"),
    (ops.Reshape((5, 2)), ((3, 4),), r"\[reshape\] \(3, 4\) has 12 elements and cannot be seen as \(5, 2\)"),
    (ops.Reshape((-1, -1)), ((3, 4),), r"\[reshape\] .*\(-1, -1\)"),
    (ops.Reshape((-3, -4)), ((3, 4),), r"\[reshape\] .*\(-3, -4\)"),
    (ops.BroadcastTo((2, 4)), ((2, 3),), r"\[broadcast_to\] \(2, 3\) does not broadcast to \(2, 4\)"),
    (ops.BroadcastTo((-2, 3)), ((1, 3),), r"\[broadcast_to\] \(1, 3\) does not broadcast to \(-2, 3\)"),
    (ops.BroadcastTo((3,)), ((1, 3),), r"\[broadcast_to\] \(1, 3\) does not broadcast to \(3,\)"),
    (ops.Summation(2), ((2, 3),), r"\[summation\] axis must be in -2\.\.1 for 2 axes, got 2"),
    (ops.Summation((0, -2)), ((2, 3),), r"\[summation\] axes must differ"),
    (ops.Stack(0), (((2,), (3,)),), r"\[stack\] needs tensors of one shape, got \(2,\) and \(3,\)"),
    (ops.Split(3), ((2, 3),), r"\[split\] axis must be in -2\.\.1 for 2 axes, got 3"),
    (ops.Flip((2,)), ((2, 3),), r"\[flip\] axis must be in"),
    (ops.Dilate((0,), -1), ((2, 3),), r"\[dilate\] dilation must be 0 or more, got -1"),
    (ops.UnDilate((1,), 1), ((2, 3),), r"\[undilate\] axis 1 of \(2, 3\) must be a multiple of dilation \+ 1 = 2"),
    (ops.Cast("complex64"), ((3,),), r"\[cast\] dtype must be .*int8, int32, int64, float32, float64, got complex64"),
    (ops.TupleGetItem(2), (((2,), (3,)),), r"\[tuple_get_item\] index must be in 0\.\.1, got 2"),
]  # fmt: skip
