"""The product of an input with a weight to which another of low rank is added, as one op.

The weight of every adapted layer has its outputs on the last axis, and the layer multiplies by it with one op: a matrix
product, a convolution of channels-last images, a look-up. The same op multiplies by A, whose last axis has r places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

from ... import autograd
from ...autograd import Tensor, TensorOp
from ...grad_mode import switch
from ...ops import array_compat
from ...ops.bilinear import Bilinear
from ...ops.ops_broadcast import broadcast_to, sum_to
from ...ops.ops_matmul import Affine, MatMul, affine, matmul
from ...ops.ops_reshape import reshape
from ...types import Type


class Factors(NamedTuple):
    """s A B, of rank r: A (..., r) as the layer's weight but for its last axis, B (r, outputs)."""

    a: Tensor
    b: Tensor
    scale: float


@dataclass(frozen=True)
class _Adapted(TensorOp):
    """A product with W and A B; the gradients of A and B need no gradient of W on the way"""

    product: Bilinear
    scale: float

    def _base(self, x: Any, weight: Any, bias: Sequence[Any]) -> Any:
        """x W + bias"""
        if bias and isinstance(self.product, MatMul) and x.dtype == weight.dtype == bias[0].dtype:
            return Affine().compute(x, weight, *bias)
        y = self.product.compute(x, weight)
        return y + array_compat.broadcast_to(bias[0], y.shape) if bias else y

    def _factor_gradients(self, g: Tensor, d: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """g B^T s, and the gradients of A and B: d A is computed again, as what has the size of y is not kept."""
        hidden, inner = self.product(d, a) * self.scale, matmul(g, b.transpose()) * self.scale
        return inner, self.product.weight_gradient(inner, d, a), MatMul().weight_gradient(g, hidden, b)

    def _base_gradients(self, g: Tensor, x: Tensor, weight: Tensor, bias: list[Tensor]) -> tuple[Any, list[Any]]:
        """The gradients of the weight and the bias, where they learn too."""
        dweight = self.product.weight_gradient(g, x, weight) if weight.requires_grad else None
        return dweight, [sum_to(g, each) if each.requires_grad else None for each in bias]


@dataclass(frozen=True)
class ChangedProduct(_Adapted):
    """y = x (W + scale A B) + bias, where "x W" is `product`; inputs x, W, A, B and, where there is one, the bias

    The change is added to the weight: for many rows that is less than to multiply each by A and by B.
    """

    def infer(self, x: Type, weight: Type, a: Type, b: Type, *bias: Type) -> Any:
        return self.product.infer(x, weight)

    def compute(self, x: Any, weight: Any, a: Any, b: Any, *bias: Any) -> Any:
        return self._base(x, weight + MatMul().compute(a, b) * self.scale, bias)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        x, weight, a, b, *bias = node.inputs
        dx = self.product.input_gradient(out_grad, x, changed(weight, a, b, self.scale)) if x.requires_grad else None
        matrices = isinstance(self.product, MatMul)  # of rows that are met twice
        g, d = (rows_of(each) if matrices else each for each in (out_grad, x))
        _, da, db = self._factor_gradients(g, d, a, b)
        dweight, dbias = self._base_gradients(out_grad, x, weight, bias)
        return dx, dweight, da, db, *dbias


@dataclass(frozen=True)
class LowRankProduct(_Adapted):
    """y = x W + bias + scale (d A) B, where "x W" is `product`; inputs x, d, W, A, B and, where there is one, the bias

    One node in place of six: of what has the size of y only y itself is kept for backward.
    """

    def infer(self, x: Type, d: Type, weight: Type, a: Type, b: Type, *bias: Type) -> Any:
        return self.product.infer(x, weight)

    def compute(self, x: Any, d: Any, weight: Any, a: Any, b: Any, *bias: Any) -> Any:
        y = self._base(x, weight, bias)
        return y + MatMul().compute(self.product.compute(d, a) * self.scale, b)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        x, d, weight, a, b, *bias = node.inputs
        dx = self.product.input_gradient(out_grad, x, weight) if x.requires_grad else None
        inner, da, db = self._factor_gradients(out_grad, d, a, b)
        dd = self.product.input_gradient(inner, d, a) if d.requires_grad else None
        dweight, dbias = self._base_gradients(out_grad, x, weight, bias)
        return dx, dd, dweight, da, db, *dbias


def rows_of(x: Tensor) -> Tensor:
    """x (..., n) as a matrix (rows, n)"""
    return reshape(x, (prod(x.shape[:-1]), x.shape[-1])) if len(x.shape) > 2 else x


def changed(weight: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
    """W + scale A B"""
    return weight + matmul(a, b) * scale


def multiplied(product: TensorOp, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x W + bias, with `product` for the product."""
    if not isinstance(product, MatMul):
        y = product(x, weight)
        return y if bias is None else y + broadcast_to(bias, y.shape)
    return matmul(x, weight) if bias is None else affine(x, weight, bias)


def adapted(product: Bilinear, x: Tensor, d: Tensor, weight: Tensor, bias: Tensor | None, low: Factors) -> Tensor:
    """x W + bias + scale (d A) B: one node where gradients are recorded, and the ops that it is made of otherwise.

    So a frozen graph has ops that compilers know. The bits are the same.
    """
    recorded = switch.on and not autograd.LAZY_MODE
    one_kind = len(x.shape) > 1 and (x.dtype == weight.dtype or not isinstance(product, MatMul))
    learned = (weight, low.a, low.b, *(() if bias is None else (bias,)))
    if d is x and not autograd.LAZY_MODE and one_kind and prod(x.shape[:-1]) >= prod(weight.shape[:-1]):
        if recorded:
            return ChangedProduct(product, low.scale)(x, *learned)
        return multiplied(product, x, changed(weight, *low), bias)
    if recorded and one_kind:
        return LowRankProduct(product, low.scale)(x, d, *learned)
    y = multiplied(product, x, weight, bias)
    return y + matmul(multiplied(product, d, low.a, None) * low.scale, low.b)
