"""How ops with fused kernels are differentiated twice: through the primitive ops that they are made of.

A composite op (softmax, a normalisation, an LSTM ...) has a kernel for its value, and an op with another kernel for its
gradient. The gradient of that second op is not derived by hand: its value is written as a formula in ops that have
gradients, often by differentiating the composite's own decomposition, and the formula is differentiated by `vjp`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..autograd import Tensor, TensorTuple, Value, vjp
from ..errors import ShapeError
from ..grad_mode import enable_grad
from ..types import Type
from .ops_reshape import permute

Formula = Callable[..., Any]  # Tensors -> a Tensor or a sequence of them, where None is an output without gradient


def pullback(formula: Formula, inputs: Sequence[Any], out_grads: Sequence[Any]) -> list[Any]:
    """The adjoints of `inputs`, given those of the outputs of `formula(*inputs)`; None where there is none."""
    with enable_grad():  # the formula is differentiated here, whether or not the caller records
        outputs = formula(*inputs)
    adjoints: dict[Value, Any] = {}
    for output, grad in zip([outputs] if isinstance(outputs, Tensor) else outputs, out_grads, strict=False):
        if output is not None and output.requires_grad:
            if tuple(grad.shape) != tuple(output.shape):
                raise ShapeError(f"[gradient] an adjoint needs its output's shape {output.shape}, got {grad.shape}")
            adjoints[output] = adjoints[output] + grad if output in adjoints else grad
    return vjp(adjoints, inputs)


def gradient_of(formula: Formula, out_grad: Any, node: Any) -> tuple[Any, ...]:
    """The adjoints of `node.inputs`, where `formula(*node.inputs)` has the value of `node`.

    Outputs of the node beyond those of the formula count as constants.
    """
    inputs = [permute(x, range(len(x.shape))) for x in node.inputs]  # one node for each use: q, k, v may be one tensor
    return tuple(pullback(formula, inputs, list(out_grad) if isinstance(out_grad, TensorTuple) else [out_grad]))


def gradient_of_pullback(formula: Formula, out_grad: Any, node: Any, adjoints: int = 1) -> tuple[Any, ...]:
    """`gradient_of` a node that holds the adjoints of the inputs of `formula`: its inputs are those of its outputs, as
    many as `adjoints`, then the inputs of `formula`, then what was saved and counts as a constant.
    """

    def adjoints_of_inputs(*inputs: Tensor) -> list[Any]:
        return pullback(formula, inputs[adjoints : adjoints + len(node)], inputs[:adjoints])

    return gradient_of(adjoints_of_inputs, out_grad, node)


def like_outputs(where: str, outputs: Sequence[Type], *given: Type) -> None:
    """ShapeError unless adjoints and saved values have the shapes of the outputs that they belong to."""
    needed, found = [tuple(x.shape) for x in outputs], [tuple(x.shape) for x in given]
    if needed != found:
        raise ShapeError(f"[{where}] needs adjoints and saved values of shapes {needed}, got {found}")


def saved(node: Any, index: int) -> Tensor:
    """What a tuple-valued op keeps for its gradient: an output that counts as a constant."""
    return node[index] if node.cached_data is None else Tensor.make_const(node.cached_data[index])


def wanted(grads: Any, inputs: Sequence[Any]) -> tuple[Any, ...]:
    """The first tensors of the tuple `grads`, one for each input that requires a gradient; None for the others."""
    return tuple(grads[i] if x.requires_grad else None for i, x in enumerate(inputs))
