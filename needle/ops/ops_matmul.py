"""Matrix products."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from .. import autograd
from ..autograd import Tensor, TensorOp
from ..backend_ndarray.kernels import kernels
from ..errors import ShapeError
from ..types import Type
from .bilinear import Bilinear
from .dtype_rules import promoted
from .ops_broadcast import broadcast_to, sum_to
from .ops_reshape import reshape, transpose
from .shape_rules import broadcast_shape

__all__ = ["MatMul", "affine", "matmul"]


@dataclass(frozen=True)
class MatMul(Bilinear):
    """y = a @ b: y[..., i, j] = sum_k a[..., i, k] b[..., k, j], leading axes broadcast as numpy's do"""

    promotes = True

    def infer(self, a: Type, b: Type) -> Type:
        if len(a.shape) < 2 or len(b.shape) < 2:
            raise ShapeError(f"[matmul] needs at least 2 axes each, got {a.shape} @ {b.shape}")
        if a.shape[-1] != b.shape[-2]:
            raise ShapeError(f"[matmul] inner sizes must agree, got {a.shape} @ {b.shape}")
        lead = a.shape[:-2] if len(b.shape) == 2 else broadcast_shape("matmul", a.shape[:-2], b.shape[:-2])
        return Type((*lead, a.shape[-2], b.shape[-1]), promoted(a.dtype, b.dtype))

    def compute(self, a: Any, b: Any) -> Any:
        return kernels(a).matmul(a, b)

    def input_gradient(self, g: Tensor, x: Tensor, w: Tensor) -> Any:
        """da = g @ b^T"""
        return sum_to(matmul(g, transpose(w)), x)

    def weight_gradient(self, g: Tensor, x: Tensor, w: Tensor) -> Any:
        """db = a^T @ g; where every batch meets the same matrix b, one product of all rows."""
        if len(w.shape) == 2 and len(x.shape) > 2:
            rows = prod(x.shape[:-1])
            x, g = reshape(x, (rows, x.shape[-1])), reshape(g, (rows, g.shape[-1]))
        return sum_to(matmul(transpose(x), g), w)


@dataclass(frozen=True)
class Affine(TensorOp):
    """y = x w + b: a product to each of whose rows a row of numbers is added before it is stored"""

    def infer(self, x: Type, w: Type, b: Type) -> Type:
        return MatMul().infer(x, w)

    def compute(self, x: Any, w: Any, b: Any) -> Any:
        return kernels(x).affine(x, w, b)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        """dx = g w^T, dw = x^T g, db = the sum of g over all rows."""
        x, w, b = node.inputs
        return *MatMul().gradients(out_grad, x, w), sum_to(out_grad, b) if b.requires_grad else None


def affine(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """x w + b: x (..., n), w (n, m), b (m,) or (1, m), y (..., m).

    One node where it is computed at once, and a product and a sum in traced graphs, whose compilers join them; the bits
    are the same. Raises ShapeError where sizes differ.
    """
    if not all(isinstance(each, Tensor) for each in (x, w, b)):
        return Affine()(x, w, b)  # which says what is wrong
    one_kind = x.dtype == w.dtype == b.dtype and len(w.shape) == 2 and b.shape in (w.shape[1:], (1, *w.shape[1:]))
    if one_kind and len(x.shape) > 1 and not autograd.LAZY_MODE:
        return Affine()(x, w, b)
    y = matmul(x, w)
    return y + broadcast_to(b, y.shape)


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """a @ b, with numpy's broadcasting of the leading axes; of shape () for two vectors (n,).

    A vector on the left is a row, one on the right a column, and the axis that makes it a matrix goes away.
    Raises ShapeError where inner sizes differ.
    """
    ndims = [len(x.shape) if isinstance(x, Tensor) else 0 for x in (a, b)]
    if 0 in ndims or 1 not in ndims:
        return MatMul()(a, b)
    row, column = (ndim == 1 for ndim in ndims)
    if a.shape[-1] != b.shape[0 if column else -2]:
        raise ShapeError(f"[matmul] inner sizes must agree, got {a.shape} @ {b.shape}")
    y = MatMul()(reshape(a, (1, *a.shape)) if row else a, reshape(b, (*b.shape, 1)) if column else b)
    return reshape(y, (*y.shape[:-2], *(() if row else y.shape[-2:-1]), *(() if column else y.shape[-1:])))
