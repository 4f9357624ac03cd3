"""Random numbers: each node has a key of its own, or the one of its seed, and draws anew in each call of the graph."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy

from needle import ops

from ...ir import Node
from .. import make
from ..at import At
from ..dtypes import NAMES
from ..make import Unsupported, add, apply, cast, const, mul, reshape
from ..row import Refused, Row
from .shape import filled

SEEDED = 1 << 40  # keys from here on are those of seeds


def uniform(at: At, shape: Sequence[int], second: bool = False) -> Node:
    """Numbers in [0, 1), float32; of a node that needs two, the second ones."""
    seed = at.get("seed")
    bits = None if seed is None else struct.unpack("<I", struct.pack("<f", seed))[0]
    return at.draw(shape, None if bits is None else SEEDED + 2 * bits + second)


def normal(at: At, shape: Sequence[int]) -> Node:
    """sqrt(-2 log(1 - u)) cos(2 pi v) of uniform u and v (Box and Muller, 1958)."""
    u, v = uniform(at, shape), uniform(at, shape, second=True)
    positive = add(apply(ops.Negate(), u), const(1.0, "float32"))
    radius = apply(ops.Sqrt(), make.scale(apply(ops.Log(), positive), -2.0))
    return mul(radius, apply(ops.Cos(), make.scale(v, 2 * math.pi)))


def _uniform(at: At, shape: Sequence[int]) -> Node:
    low, high = at.get("low", 0.0), at.get("high", 1.0)
    return add(make.scale(uniform(at, shape), high - low), const(low, "float32"))


def _normal(at: At, shape: Sequence[int]) -> Node:
    return add(make.scale(normal(at, shape), at.get("scale", 1.0)), const(at.get("mean", 0.0), "float32"))


def _of_shape(draw: Any) -> Any:
    """A row whose attributes say shape and dtype."""
    return lambda at: cast(draw(at, at.get("shape")), NAMES[at.get("dtype", 1)])


def _like(draw: Any) -> Any:
    """A row that draws as many numbers as its input has."""
    return lambda at, x: cast(draw(at, x.shape), NAMES[at.get("dtype")] if "dtype" in at.attributes else x.type.dtype)


def _bernoulli(at: At, p: Node) -> Node:
    dtype = NAMES[at.get("dtype")] if "dtype" in at.attributes else p.type.dtype
    return cast(apply(ops.Less(), uniform(at, p.shape), cast(p, "float32")), dtype)


def _multinomial(at: At, scores: Node) -> Node:
    """argmax over the classes of scores + Gumbel noise -log(-log u) is a draw by their softmax (Gumbel, 1954)."""
    rows, classes = scores.shape
    shape = (rows, at.get("sample_size", 1), classes)
    noise = apply(ops.Log(), uniform(at, shape))
    noise = apply(ops.Negate(), apply(ops.Log(), apply(ops.Negate(), noise)))
    each = make.broadcast(reshape(cast(scores, "float32"), (rows, 1, classes)), shape)
    return cast(apply(ops.ArgMax(2), add(each, noise)), NAMES[at.get("dtype", 6)])


def _dropout(at: At, x: Node, ratio: Node | None = None, training: Node | None = None) -> tuple[Node, ...]:
    """x mask / (1 - ratio) in training mode, else x."""
    share = at.get("ratio", 0.5) if ratio is None else None
    if training is not None and bool(at.number(training, "training_mode")):
        share = at.number(ratio, "ratio", 0.5)
        if not 0 <= share < 1:
            raise Unsupported(f"its ratio must lie in [0, 1), got {share}")
        if share:
            mask = apply(ops.GreaterEqual(), uniform(at, x.shape), const(share, "float32"))
            kept = mul(cast(x, "float32"), cast(mask, "float32"))
            return cast(make.scale(kept, 1 / (1 - share)), x.type.dtype), mask
    return x, filled(numpy.bool_(True), "bool", x.shape)


ROWS: dict[str, Row | Refused] = {
    "RandomUniform": Row(_of_shape(_uniform)), "RandomUniformLike": Row(_like(_uniform), in_float32=False),
    "RandomNormal": Row(_of_shape(_normal)), "RandomNormalLike": Row(_like(_normal), in_float32=False),
    "Bernoulli": Row(_bernoulli, in_float32=False),
    "Multinomial": Row(_multinomial, in_float32=False),
    "Dropout": Row(_dropout, in_float32=False),
}
