"""Arithmetic on sizes: operators applied to integers of which some are open sizes give expressions, not nodes.

So no program computes at run time what follows from the shapes of its inputs. Each row works on an array of objects.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy

from needle.errors import ShapeError
from needle.sizes import Size, larger, smaller

from ..ir import Node
from . import make
from .at import At, Value
from .ops import Sizes

INTEGERS = ("int32", "int64")
MOST = 1024  # integers that an operator is applied to here: shapes are short


class Open(Exception):
    """The operator is not known for sizes that are open: the node is recorded as any other."""


def applied(at: At, inputs: list[Value]) -> list[Value] | None:
    """The outputs as sizes, if an input holds open ones and the operator is known for them; else None."""
    if at.operator not in ARITHMETIC or not any(isinstance(x, Node) and isinstance(x.op, Sizes) for x in inputs):
        return None
    arrays = [make.sizes_in(x) if isinstance(x, Node) else None for x in inputs]
    if any(a is None and x is not None for a, x in zip(arrays, inputs, strict=True)):
        return None
    if sum(a.size for a in arrays if a is not None) > MOST:
        return None
    dtype = next(x.type.dtype for x in inputs if isinstance(x.op, Sizes))
    try:
        made = ARITHMETIC[at.operator](at, *arrays)
    except Open:
        return None
    results = made if isinstance(made, list) else [made]
    return [x if isinstance(x, Node) else make.sizes(x, dtype) for x in results]


def _each(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of integers, elementwise and broadcast."""
    return lambda at, *arrays: numpy.frompyfunc(function, len(arrays), 1)(*arrays)


def _divided(a: int, b: int) -> int:
    """a / b, rounded to zero: down, or up below 0."""
    b = _divisor(b)
    try:
        return a // b if a >= 0 else -(-a // b)
    except ShapeError:  # either, by the sizes; the importer has seen the question, and may try again with larger ones
        raise Open from None


def _divisor(b: int) -> int:
    if isinstance(b, Size) or b <= 0:
        raise Open
    return b


def _modulo(at: At, *arrays: Any) -> Any:
    """The remainder, of the sign of the divisor or, with fmod, of what is divided."""
    quotient = _divided if at.get("fmod", 0) else lambda a, b: a // _divisor(b)
    return _each(lambda a, b: a - quotient(a, b) * b)(at, *arrays)


def _many(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(at: At, *arrays: Any) -> Any:
        found = arrays[0]
        for other in arrays[1:]:
            found = numpy.frompyfunc(function, 2, 1)(found, other)
        return found

    return run


def _slice(at: At, x: Any, starts: Any = None, ends: Any = None, axes: Any = None, steps: Any = None) -> Any:
    given = [at.get(name) if a is None else a.reshape(-1).tolist() for name, a in (("starts", starts), ("ends", ends))]
    if x.ndim != 1 or not all(given) or any(isinstance(numbers[0], Size) for numbers in given):
        raise Open
    return x[make.part(given[0][0], given[1][0], 1 if steps is None else int(steps.reshape(-1)[0]), len(x))]


def _fold(function: Callable[[int, int], int]) -> Callable[..., Any]:
    """A reduction over all axes."""

    def run(at: At, x: Any, axes: Any = None) -> Any:
        named = at.get("axes") if axes is None else axes.reshape(-1).tolist()
        whole = named is None or sorted(make.axis_of(axis, x.ndim) for axis in named) == list(range(x.ndim))
        if not whole or not x.size:
            raise Open
        found = functools.reduce(function, x.reshape(-1).tolist())
        return numpy.array(found, dtype=object).reshape((1,) * x.ndim if at.get("keepdims", 1) else ())

    return run


def _cast(at: At, x: Any) -> Any:
    from .dtypes import NAMES

    if NAMES.get(at.get("to")) not in INTEGERS:
        raise Open
    return make.sizes(x, NAMES[at.get("to")])


def _where(at: At, mask: Any, a: Any, b: Any) -> Any:
    if any(isinstance(n, Size) for n in mask.reshape(-1)):
        raise Open
    return numpy.where(mask.astype(bool), a, b)


def _unsqueeze(at: At, x: Any, axes: Any = None) -> Any:
    places = at.get("axes") if axes is None else axes.reshape(-1).tolist()
    return numpy.expand_dims(x, tuple(places))


def _squeeze(at: At, x: Any, axes: Any = None) -> Any:
    places = at.get("axes") if axes is None else axes.reshape(-1).tolist()
    return numpy.squeeze(x) if places is None else numpy.squeeze(x, tuple(places))


def _equal(at: At, a: Any, b: Any) -> Any:
    def same(m: int, n: int) -> bool:
        if isinstance(m, Size) or isinstance(n, Size):
            low = min((x for x in (m, n) if not isinstance(x, Size)), default=None)
            if low is not None and low < 0:
                return False
            if isinstance(m, Size) and isinstance(n, Size) and m.terms == n.terms:
                return True
            raise Open
        return m == n

    return make.const(numpy.frompyfunc(same, 2, 1)(a, b).astype(bool))


def _split(at: At, x: Any, lengths: Any = None) -> Any:
    if x.ndim != 1:
        raise Open
    given = at.get("split") if lengths is None else lengths.tolist()
    parts = numpy.split(x, len(at.outputs)) if given is None else numpy.split(x, numpy.cumsum(given)[:-1].tolist())
    return list(parts)


ARITHMETIC: dict[str, Callable[..., Any]] = {
    "Add": _each(lambda a, b: a + b),
    "Sub": _each(lambda a, b: a - b),
    "Mul": _each(lambda a, b: a * b),
    "Div": _each(_divided),
    "Mod": _modulo,
    "Min": _many(smaller),
    "Max": _many(larger),
    "Neg": _each(lambda a: -a),
    "Identity": lambda at, x: x,
    "Cast": _cast,
    "Concat": lambda at, *arrays: numpy.concatenate(arrays, at.get("axis", 0)),
    "Gather": lambda at, x, ids: numpy.take(x, ids.astype(int), at.get("axis", 0)),
    "Slice": _slice,
    "ReduceProd": _fold(lambda a, b: a * b),
    "ReduceSum": _fold(lambda a, b: a + b),
    "ReduceMin": _fold(smaller),
    "ReduceMax": _fold(larger),
    "Reshape": lambda at, x, shape: x.reshape([int(n) for n in shape]),
    "Flatten": lambda at, x: x.reshape(1, -1) if at.get("axis", 1) == 0 else x.reshape(x.shape[0], -1),
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Where": _where,
    "Equal": _equal,
    "Split": _split,
}
