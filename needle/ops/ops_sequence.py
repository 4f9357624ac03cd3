"""Ops on sequences: positions, embedding and attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy

from ..autograd import Tensor, TensorOp, TensorTuple, TensorTupleOp
from ..backend_ndarray.kernels import kernels
from ..errors import DTypeError, ShapeError
from ..types import TYPES, Type
from . import array_compat
from .attributes import WIDE, PlainFields, axis_of
from .bilinear import Bilinear
from .composite import gradient_of_pullback, like_outputs, saved, wanted
from .dtype_rules import one_float
from .ops_compare import less_equal, where
from .ops_logarithmic import softmax
from .ops_matmul import matmul
from .ops_reshape import reshape, transpose
from .shape_rules import extent

__all__ = ["Attention", "AttentionGradient", "Embed", "EmbedGradient", "Iota", "attention", "embed", "iota"]


HIDDEN = -1e30  # the score of what a query must not see: exp of it is 0


@dataclass(frozen=True)
class Iota(TensorOp):
    """y_i = first + i, for each place i along an axis of x, whose values do not matter

    In the dtype of x, which must hold these numbers; bool counts nothing.
    """

    axis: int
    first: int = 0

    def infer(self, x: Type) -> Type:
        if x.dtype == "bool":
            raise DTypeError("[iota] counts in the dtype of x, which bool cannot; take x.astype('int32')")
        n = x.shape[axis_of("iota", self.axis, len(x.shape))]
        if x.dtype in TYPES and x.dtype not in WIDE:
            low, high = TYPES[x.dtype].low, TYPES[x.dtype].high
            if self.first < low or self.first + n > high:
                raise DTypeError(f"[iota] {x.dtype} counts in {low}..{high - 1}, not from {self.first} to "
                                 f"{self.first + n - 1}; take x.astype('int32')")  # fmt: skip
        return Type((n,), x.dtype)

    def compute(self, x: Any) -> Any:
        return array_compat.constant(x, numpy.arange(self.first, self.first + x.shape[self.axis]))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return (None,)


@dataclass(frozen=True)
class Embed(Bilinear):
    """y = weight[ids]: the row of each id

    ids of any shape, whole numbers (of any dtype) in 0..n-1, weight (n, d), y ids.shape + (d,).
    """

    def infer(self, ids: Type, weight: Type) -> Type:
        if len(weight.shape) != 2:
            raise ShapeError(f"[embed] needs a weight (n, d), got {weight.shape}")
        return Type((*ids.shape, weight.shape[1]), weight.dtype)

    def compute(self, ids: Any, weight: Any) -> Any:
        return kernels(weight).embedding(ids, weight)

    def input_gradient(self, g: Tensor, x: Tensor, w: Tensor) -> None:
        """None: ids have no gradient."""
        return None

    def weight_gradient(self, g: Tensor, x: Tensor, w: Tensor) -> Tensor:
        """dweight, an `EmbedGradient`."""
        return EmbedGradient(w.shape[0])(g, x)


@dataclass(frozen=True)
class EmbedGradient(TensorOp):
    """dweight[id] = sum of g over the places that hold id, of n ids"""

    n: int

    def infer(self, g: Type, ids: Type) -> Type:
        if not g.shape or g.shape[:-1] != ids.shape:
            raise ShapeError(f"[embed_gradient] needs g of shape ids.shape + (d,), got {g.shape} for {ids.shape}")
        return Type((extent("embed_gradient", self.n), g.shape[-1]), g.dtype)

    def compute(self, g: Any, ids: Any) -> Any:
        return kernels(g).embedding_gradient(g, ids, self.n)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return Embed()(node.inputs[1], out_grad), None


@dataclass(frozen=True)
class Attention(PlainFields, TensorTupleOp):
    """y = softmax(scale q k^T) v

    q (B, H, Tq, D), k and v (B, H, Tk, D). With `causal` the last query sees every key and each one before it one key
    fewer. A tuple of y (B, H, Tq, D) and log sum exp of the scores (B, H, Tq), which counts as a constant.
    """

    scale: float
    causal: bool = False

    def infer(self, q: Type, k: Type, v: Type) -> tuple[Type, ...]:
        same = len(q.shape) == 4 and k.shape == v.shape and (*q.shape[:2], q.shape[3]) == (*k.shape[:2], k.shape[-1])
        if not same or len(k.shape) != 4:
            given = f"{q.shape}, {k.shape}, {v.shape}"
            raise ShapeError(f"[attention] needs q (B, H, Tq, D), k and v (B, H, Tk, D), got {given}")
        if 0 in k.shape[2:] or (self.causal and q.shape[2] > k.shape[2]):
            given = f"{q.shape[2]} queries, {k.shape[2]} keys of depth {k.shape[3]}"
            raise ShapeError(f"[attention] needs a key for every query, got {given}")
        return q, Type(q.shape[:3], one_float("attention", q, k, v))

    def compute(self, q: Any, k: Any, v: Any) -> Any:
        return kernels(q).attention(q, k, v, self.scale, self.causal)

    def gradient(self, out_grad: TensorTuple, node: Any) -> Any:
        results = [saved(node, i) for i in (0, 1)]
        return wanted(AttentionGradient(self.scale, self.causal)(out_grad[0], *node.inputs, *results), node.inputs)


@dataclass(frozen=True)
class AttentionGradient(TensorTupleOp):
    """dv = p^T g, ds = p (g v^T - sum(g y)), dq = scale ds k, dk = scale ds^T q; p = exp(scale q k^T - lse)"""

    scale: float
    causal: bool = False

    def infer(self, g: Type, q: Type, k: Type, v: Type, out: Type, lse: Type) -> tuple[Type, ...]:
        y, sums = Attention(self.scale, self.causal).infer(q, k, v)
        like_outputs("attention_gradient", (y, y, sums), g, out, lse)
        return q, k, v

    def compute(self, g: Any, q: Any, k: Any, v: Any, out: Any, lse: Any) -> Any:
        return kernels(q).attention_gradient(g, q, k, v, out, lse, self.scale, self.causal)

    def gradient(self, out_grad: TensorTuple, node: Any) -> Any:
        def formula(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return attention_in_ops(q, k, v, self.scale, self.causal)

        return gradient_of_pullback(formula, out_grad, node)


def attention_in_ops(q: Tensor, k: Tensor, v: Tensor, scale: float, causal: bool) -> Tensor:
    """The value of `Attention`, made of simpler ops."""
    scores = matmul(q, transpose(k)) * scale
    if causal:
        queries, keys = scores.shape[-2:]
        last = reshape(iota(scores, -2, keys - queries), (queries, 1))  # what each query sees
        scores = where(less_equal(iota(scores, -1), last), scores, HIDDEN)
    return matmul(softmax(scores), v)


def iota(x: Tensor, axis: int, first: int = 0) -> Tensor:
    """(first, first + 1, ...), as many as x has places along the axis, in its dtype."""
    return Iota(axis, first)(x)


def embed(ids: Tensor, weight: Tensor) -> Tensor:
    """weight[ids]: the row of `weight` (n, d) for each id."""
    return Embed()(ids, weight)


def attention(q: Tensor, k: Tensor, v: Tensor, scale: float, causal: bool = False) -> TensorTuple:
    """(softmax(scale q k^T) v, log sum exp of the scores); see `Attention`."""
    return Attention(scale, causal)(q, k, v)
