"""The product of an input with a weight to which another of low rank is added, as one op.

The weight of every adapted layer has its outputs on the last axis, and the layer multiplies by it with one op: a matrix
product, a convolution of channels-last images, a look-up. The same op multiplies by A, whose last axis has r places.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from ... import autograd
from ...autograd import Tensor, TensorOp
from ...grad_mode import switch
from ...ops import array_compat
from ...ops.ops_broadcast import broadcast_to, sum_to
from ...ops.ops_matmul import MatMul, matmul
from ...types import Type


class Factors(NamedTuple):
    """s A B, of rank r: A (..., r) as the layer's weight but for its last axis, B (r, outputs)."""

    a: Tensor
    b: Tensor
    scale: float


class _Inputs(NamedTuple):
    """What the gradient of a product asks of its node."""

    inputs: tuple[Tensor, Tensor]


@dataclass(frozen=True)
class LowRankProduct(TensorOp):
    """y = x W + bias + scale (d A) B, where "x W" is `product`; inputs x, d, W, A, B and, where there is one, the bias

    One node in place of six: of what has the size of y only y itself is kept for backward, and d A is computed again.
    """

    product: TensorOp
    scale: float

    def infer(self, x: Type, d: Type, weight: Type, a: Type, b: Type, *bias: Type) -> Any:
        return self.product.infer(x, weight)

    def compute(self, x: Any, d: Any, weight: Any, a: Any, b: Any, *bias: Any) -> Any:
        y = self.product.compute(x, weight)
        if bias:
            y = y + array_compat.broadcast_to(bias[0], y.shape)
        return y + MatMul().compute(self.product.compute(d, a) * self.scale, b)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        x, d, weight, a, b, *bias = node.inputs
        dx, dweight = self.product.gradient_as_tuple(out_grad, _Inputs((x, weight)))  # type: ignore[arg-type]
        hidden = self.product(d, a) * self.scale
        dd, da = self.product.gradient_as_tuple(
            matmul(out_grad, b.transpose()) * self.scale, _Inputs((d, a))  # type: ignore[arg-type]
        )  # fmt: skip
        _, db = MatMul().gradient_as_tuple(out_grad, _Inputs((hidden, b)))  # type: ignore[arg-type]
        return dx, dd, dweight, da, db, *(sum_to(out_grad, each) for each in bias)


def multiplied(product: TensorOp, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x W + bias, with `product` for the product."""
    y = matmul(x, weight) if isinstance(product, MatMul) else product(x, weight)
    return y if bias is None else y + broadcast_to(bias, y.shape)


def adapted(product: TensorOp, x: Tensor, d: Tensor, weight: Tensor, bias: Tensor | None, low: Factors) -> Tensor:
    """x W + bias + scale (d A) B: one node where gradients are recorded, and the ops that it is made of otherwise.

    So a frozen graph has ops that compilers know. The bits are the same.
    """
    recorded = switch.on and not autograd.LAZY_MODE
    one_kind = len(x.shape) > 1 and (x.dtype == weight.dtype or not isinstance(product, MatMul))
    if recorded and one_kind:
        inputs = (x, d, weight, low.a, low.b, *(() if bias is None else (bias,)))
        return LowRankProduct(product, low.scale)(*inputs)
    y = multiplied(product, x, weight, bias)
    return y + matmul(multiplied(product, d, low.a, None) * low.scale, low.b)
