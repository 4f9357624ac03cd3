"""What an operator that only ONNX has is here: an op with a type rule, whose value numpy computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from needle.autograd import TensorOp, TensorTupleOp
from needle.ops.plain_op import by_numpy
from needle.sizes import dim


class NumpyOp(TensorOp):
    """An op computed by `value` on numpy arrays, which a subclass gives: only the interpreter runs it."""

    value: ClassVar[Callable[..., Any]]

    def compute(self, *arrays: Any) -> Any:
        return by_numpy(self.value, *arrays) if arrays else self.value()


class NumpyTupleOp(TensorTupleOp):
    """As `NumpyOp`, with several results."""

    value: ClassVar[Callable[..., Any]]

    def compute(self, *arrays: Any) -> Any:
        return by_numpy(self.value, *arrays)


def counted(name: str) -> int:
    """A size that is known once the node has run: how many elements were found."""
    return dim(name, 7, low=0)
