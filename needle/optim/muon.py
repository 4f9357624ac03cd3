"""Muon: momentum whose update is made orthogonal, for the weight matrices of hidden layers."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, prod, sqrt
from typing import Any

import numpy

from ..autograd import Tensor, cut_gradients
from ..errors import NeedleError, ShapeError
from ..ops.array_compat import constant, permute
from .gradients import ADVICE, array_of_gradient, norm
from .optimizers import Optimizer
from .settings import fraction, positive


class Muon(Optimizer):
    """θ <- (1 - decay - lr * weight_decay) θ - lr * sqrt(max(1, out/in)) * UV^T, where U S V^T is the singular value
    decomposition of (1 - m) g + m u, and u <- m u + (1 - m) g is the momentum.

    For matrices (in, out), and for convolution weights (k, k, in, out) taken as matrices (k*k*in, out). Every direction
    of the update gets the same size, which suits hidden layers; biases, normalisation and the last layer want Adam.
    `weight_decay` follows a schedule of `lr`, as AdamW's does; `decay` is the fraction of θ taken away at each step,
    whatever `lr` is. With `normalized`, θ is first scaled to the norm sqrt(out), so that `lr` is the size of the step
    relative to θ: for weights before a normalisation, whose own size means nothing.
    Raises ShapeError for parameters that are no such matrices, and NeedleError, before anything is changed, for a
    gradient that is not finite.
    Source: K. Jordan et al., "Muon: an optimizer for hidden layers", 2024.
    """

    buffers = ("u",)
    settings = ("lr", "momentum", "decay", "weight_decay", "normalized")

    def __init__(
        self, params: Sequence[Tensor], lr: float = 0.02, momentum: float = 0.95, decay: float = 0.0,
        normalized: bool = False, weight_decay: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(params)
        self.lr, self.weight_decay = positive("Muon", lr=lr, weight_decay=weight_decay)
        self.momentum, self.decay = fraction("Muon", momentum=momentum, decay=decay)
        self.normalized = bool(normalized)
        for p in self.params:
            if len(p.shape) < 2 or 0 in p.shape:
                raise ShapeError(f"[Muon] needs matrices with elements, got a parameter of shape {tuple(p.shape)}")
        self.u: dict[Tensor, Any] = {}

    def step(self) -> None:
        made = [(p, *self._stepped(i, p)) for i, p in enumerate(self.params) if p.grad is not None]
        for p, u, theta in made:
            cut_gradients(p)
            self.u[p] = u
            p.data = Tensor.make_const(theta)

    def _stepped(self, index: int, p: Tensor) -> tuple[Any, Any]:
        """The momentum and the array of a parameter after a step."""
        gradient = as_matrix(array_of_gradient("Muon", p))
        u = gradient * (1 - self.momentum)
        if p in self.u:
            u = u + as_matrix(self.u[p]) * self.momentum
        direction = gradient * (1 - self.momentum) + u * self.momentum
        name = f"the gradient of the parameter at index {index}, of shape {tuple(p.shape)},"
        update = orthogonalized(direction, name)
        rate = self.lr * max(1.0, gradient.shape[1] / gradient.shape[0]) ** 0.5
        theta = as_matrix(p.realize_cached_data())
        if self.normalized:
            theta = theta * (sqrt(theta.shape[1]) / (euclidean(theta) + 1e-7))
        theta = theta * (1 - self.decay - self.lr * self.weight_decay) - update * rate
        return u.reshape(p.shape), compact(theta).reshape(p.shape)


def as_matrix(array: Any) -> Any:
    """All axes but the last taken as one."""
    return compact(array).reshape((prod(array.shape[:-1]), array.shape[-1]))


def orthogonalized(g: Any, name: str = "the matrix") -> Any:
    """About U V^T for g = U S V^T: five Newton-Schulz steps X <- aX + b(XX^T)X + c(XX^T)^2 X from X = g / (|g| + 1e-7).

    What is much smaller than 1e-7 stays small: noise is not blown up to a full step.
    Every step multiplies X from the left with a polynomial P in the Gram matrix B = XX^T of the smaller side, and takes
    B to PBP; so only the first and the last product touch the larger side. The singular values end within about 0.7
    and 1.2, which is near enough; the coefficients are those of the source. NeedleError, naming the matrix, where |g|
    is not finite.
    """
    if g.shape[0] > g.shape[1]:
        return permute(orthogonalized(permute(g, (1, 0)), name), (1, 0))
    a, b, c = 3.4445, -4.7750, 2.0315
    size = euclidean(g)
    if not isfinite(size):
        raise NeedleError(f"[Muon] the norm of {name} is {size}{ADVICE}")
    x = g * (1.0 / (size + 1e-7))
    gram = x @ permute(x, (1, 0))
    diagonal = constant(gram, numpy.eye(gram.shape[0]) * a)
    total = None
    for _ in range(5):
        step = diagonal + gram * b + (gram @ gram) * c
        total = step if total is None else step @ total
        gram = step @ gram @ step
    return total @ x


def euclidean(array: Any) -> float:
    """The Euclidean norm of all elements."""
    with numpy.errstate(over="ignore"):
        total = (array * array).sum()
    return norm([array], float(total if isinstance(array, numpy.ndarray) else total.numpy()[0]))


def compact(array: Any) -> Any:
    """The array with its elements in order in memory."""
    return numpy.ascontiguousarray(array) if isinstance(array, numpy.ndarray) else array.compact()
