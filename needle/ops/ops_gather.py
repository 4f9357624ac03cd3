"""Slices and elements of a tensor by their number along an axis, and the gradients that add them up again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy

from ..autograd import Tensor, TensorOp
from ..backend_ndarray.kernels import kernels
from ..errors import DTypeError, ShapeError
from ..types import Type
from .attributes import PlainFields, axis_of
from .shape_rules import extent, replaced

__all__ = ["Gather", "GatherGradient", "Take", "TakeGradient", "gather", "take"]


@dataclass(frozen=True)
class Take(PlainFields, TensorOp):
    """y[i, j, k] = x[i, ids[j], k], i, j and k each standing for several axes: the slices that ids name along `axis`

    ids of any shape, whole numbers (of any dtype) in -n..n-1, where n is the size of the axis; they take its place.
    """

    axis: int = 0

    def infer(self, x: Type, ids: Type) -> Type:
        axis = axis_of("take", self.axis, len(x.shape))
        return Type((*x.shape[:axis], *ids.shape, *x.shape[axis + 1 :]), x.dtype)

    def compute(self, x: Any, ids: Any) -> Any:
        return kernels(x).take(x, ids, axis_of("take", self.axis, len(x.shape)))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        x, ids = node.inputs
        axis = axis_of("take", self.axis, len(x.shape))
        return TakeGradient(axis, int(x.shape[axis]))(out_grad, ids), None


@dataclass(frozen=True)
class TakeGradient(TensorOp):
    """dx[i, n, k] = sum of g[i, j, k] over the places j where ids is n, of `size` along `axis`"""

    axis: int
    size: int

    def infer(self, g: Type, ids: Type) -> Type:
        end = self.axis + len(ids.shape)
        if len(g.shape) < end or self.axis > len(g.shape) or g.shape[self.axis : end] != ids.shape:
            raise ShapeError(f"[take_gradient] needs the shape of ids {ids.shape} at axis {self.axis}, got {g.shape}")
        return Type((*g.shape[: self.axis], extent("take_gradient", self.size), *g.shape[end:]), g.dtype)

    def compute(self, g: Any, ids: Any) -> Any:
        return kernels(g).take_gradient(g, ids, self.axis, self.size)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return Take(self.axis)(out_grad, node.inputs[1]), None


@dataclass(frozen=True)
class Gather(PlainFields, TensorOp):
    """y[i, j, k] = x[i, index[i, j, k], k], j being on `axis` and i, k standing for the axes around it

    x and index have the same shape but along `axis`, of size n; index holds whole numbers (of any dtype) in -n..n-1.
    """

    axis: int = -1

    def infer(self, x: Type, index: Type) -> Type:
        axis = axis_of("gather", self.axis, len(x.shape))
        if len(index.shape) != len(x.shape) or replaced(index.shape, axis, 0) != replaced(x.shape, axis, 0):
            raise ShapeError(f"[gather] shapes must agree but along axis {axis}, got {x.shape} and {index.shape}")
        return Type(index.shape, x.dtype)

    def compute(self, x: Any, index: Any) -> Any:
        return kernels(x).gather(x, index, axis_of("gather", self.axis, len(x.shape)))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        x, index = node.inputs
        axis = axis_of("gather", self.axis, len(x.shape))
        return GatherGradient(axis, int(x.shape[axis]))(out_grad, index), None


@dataclass(frozen=True)
class GatherGradient(TensorOp):
    """dx[i, n, k] = sum of g[i, j, k] over the j with index[i, j, k] = n, of `size` along `axis`"""

    axis: int
    size: int

    def infer(self, g: Type, index: Type) -> Type:
        if g.shape != index.shape:
            raise ShapeError(f"[gather_gradient] g and index must have one shape, got {g.shape} and {index.shape}")
        axis_of("gather_gradient", self.axis, len(g.shape))
        return Type(replaced(g.shape, self.axis, extent("gather_gradient", self.size)), g.dtype)

    def compute(self, g: Any, index: Any) -> Any:
        return kernels(g).gather_gradient(g, index, self.axis, self.size)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return Gather(self.axis)(out_grad, node.inputs[1]), None


def take(x: Tensor, ids: Any, axis: int = 0) -> Tensor:
    """The slices of x that ids (a Tensor or array of whole numbers, of any shape) name along `axis`.

    Negative ids count from the end. The gradient of a slice that is taken several times is the sum.
    """
    return Take(axis)(x, as_ids("take", x, ids))


def gather(x: Tensor, index: Any, axis: int = -1) -> Tensor:
    """The elements of x at the places `index` along `axis`, as numpy's take_along_axis."""
    return Gather(axis)(x, as_ids("gather", x, index))


def as_ids(where: str, x: Tensor, ids: Any) -> Tensor:
    """ids as a Tensor on the device of x; DTypeError for what is no array of whole numbers."""
    if not isinstance(x, Tensor):
        raise DTypeError(f"[{where}] needs a Tensor, got {type(x).__name__}")
    if isinstance(ids, Tensor):
        return ids
    try:
        values = numpy.asarray(ids)
    except ValueError:
        raise ShapeError(f"[{where}] nested lists of indices must have one length on each level") from None
    if values.dtype.kind not in "iu" and values.size:
        raise DTypeError(f"[{where}] needs whole numbers as indices, got {values.dtype}")
    return Tensor(values.astype("int64"), device=x.device, dtype="int64", requires_grad=False)
