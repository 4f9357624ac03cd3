"""Ops without a kernel of their own: numpy computes them, for arrays of every kind and dtype."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy

from ..autograd import Tensor, TensorOp
from ..backend_ndarray.kernels import through_numpy
from ..types import Type
from .dtype_rules import real


def by_numpy(function: Callable[..., Any], *arrays: Any) -> Any:
    """A function of numpy arrays, of these arrays; results are of their kind."""
    if isinstance(arrays[0], numpy.ndarray | numpy.generic):
        with numpy.errstate(all="ignore"):
            return function(*arrays)
    return through_numpy(function, arrays[0]._device, *arrays)


class Elementary(TensorOp):
    """y = f(a), elementwise; a subclass gives `plain`, f on numpy arrays, and `derivative`, f' in ops."""

    plain: ClassVar[Any]
    rounds: ClassVar[bool] = False  # a step function: its slope is 0, and integers stay what they are

    def infer(self, a: Type) -> Type:
        return a if self.rounds else real(a)

    def compute(self, a: Any) -> Any:
        return by_numpy(self._value, a)

    def _value(self, a: Any) -> Any:
        if a.dtype.kind not in "iub":
            return self.plain(a)
        return a if self.rounds else self.plain(a.astype(real(Type(a.shape, str(a.dtype))).dtype))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return (None,) if self.rounds else out_grad * self.derivative(node.inputs[0])

    def derivative(self, a: Tensor) -> Tensor:
        """dy/da, in ops."""
        raise NotImplementedError
