"""What the ops have in common that multiply an input with a weight."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from ..autograd import Tensor, TensorOp


class Bilinear(TensorOp):
    """y = x w, linear in the input x, where that has a gradient, and in the weight w."""

    @abstractmethod
    def input_gradient(self, g: Tensor, x: Tensor, w: Tensor) -> Tensor | None:
        """dx, given g = dy; None of an input that is looked up by."""

    @abstractmethod
    def weight_gradient(self, g: Tensor, x: Tensor, w: Tensor) -> Tensor:
        """dw, given g = dy."""

    def gradients(self, g: Tensor, x: Tensor, w: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """dx and dw, given g = dy, of which each is wanted."""
        dx = self.input_gradient(g, x, w) if x.requires_grad else None
        return dx, self.weight_gradient(g, x, w) if w.requires_grad else None

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return self.gradients(out_grad, *node.inputs)
