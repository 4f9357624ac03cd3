"""What is done to gradients between backward and an optimizer's step: norms, clipping, sums over several backwards."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy

from .. import reprs
from ..autograd import Tensor
from ..backend_ndarray.kernels import kernels
from ..backend_selection import BACKEND
from ..errors import DTypeError, NeedleError, SettingError, ShapeError
from ..ops import clip
from .settings import number, parameters
from .stateful import State, Stateful, copies, like

ADVICE = "; are the inputs finite? Else try a smaller learning rate or a longer warm-up"
LEAST = 1e-20  # sums of squares below it may have lost squares that float32 does not hold


def norm(arrays: Sequence[Any], squares: float) -> float:
    """|a|, the Euclidean norm of all elements of the arrays together, given the sum of their squares in floats.

    Where squares over- or underflow, what the sum says is replaced by max|a| |a / max|a||, in float64. The result is
    infinite or NaN only if an element is, or for numbers beyond 1e300.
    """
    if LEAST <= squares < math.inf:
        return math.sqrt(squares)
    largest = float(numpy.max([_largest(x) for x in arrays], initial=0.0))
    if largest == 0 or not math.isfinite(largest):
        return largest
    return largest * math.sqrt(sum(float(numpy.square(_values(x) / largest).sum()) for x in arrays))


def is_finite(array: Any) -> bool:
    """Whether no element is infinite or NaN."""
    return math.isfinite(_largest(array))


def array_of_gradient(where: str, param: Tensor) -> Any:
    """The array of a parameter's gradient.

    Raises ShapeError unless it has the parameter's shape, DTypeError its dtype (but in numpy mode, which promotes).
    """
    array, own = param.grad.realize_cached_data(), param.realize_cached_data()
    if tuple(array.shape) != tuple(own.shape):
        shapes = f"{tuple(own.shape)}, got {tuple(array.shape)}"
        raise ShapeError(f"[{where}] a gradient needs its parameter's shape {shapes}")
    if array.dtype != own.dtype and BACKEND == "nd":
        raise DTypeError(f"[{where}] a gradient needs its parameter's dtype {own.dtype}, got {array.dtype}")
    return array


def clip_grad_norm(params: Iterable[Tensor], max_norm: float) -> float:
    """g = g min(1, max_norm / (|g| + 1e-6)); |g|, the Euclidean norm over all gradients together, as it was before.

    The sum has one fixed order, whatever the number of threads; gradients of any finite size have a finite norm. Raises
    SettingError unless max_norm > 0, NeedleError for what is no Tensor and, before anything is changed, for a norm that
    is not finite.
    """
    max_norm = number("clip_grad_norm", "max_norm", max_norm)
    if not max_norm > 0:
        raise SettingError(f"[clip_grad_norm] max_norm must be greater than 0, got {max_norm}")
    params = parameters("clip_grad_norm", params)
    grads = [param.grad for param in params if param.grad is not None]
    groups = [[grad.realize_cached_data() for grad in group] for group in by_kind(grads)]
    total = norm([array for group in groups for array in group], sum(map(_squared_norm, groups)))
    if not math.isfinite(total):
        raise NeedleError(f"[clip_grad_norm] the norm of the gradients is {total}{_where(params)}{ADVICE}")
    if max_norm / (total + 1e-6) < 1:
        for param in params:
            if param.grad is not None:
                param.grad = param.grad.detach() * (max_norm / (total + 1e-6))
    return total


def clip_grad_value(params: Iterable[Tensor], max_value: float) -> None:
    """g = min(max(g, -max_value), max_value), elementwise. Raises SettingError unless max_value > 0."""
    max_value = number("clip_grad_value", "max_value", max_value)
    if not max_value > 0:
        raise SettingError(f"[clip_grad_value] max_value must be greater than 0, got {max_value}")
    for param in parameters("clip_grad_value", params):
        if param.grad is not None:
            param.grad = clip(param.grad.detach(), -max_value, max_value)


class GradientAccumulator(Stateful):
    """g = sum of w_i g_i / sum of w_i over several backwards, each of which overwrites `.grad`.

    For each micro-batch: backward, then `add(weight)`; at last `assign()` puts the mean into `.grad` of the parameters,
    for the optimizer. With a loss that is a mean over its batch, and the sizes of the micro-batches as weights (or all
    of one size), that is the gradient of one batch of them all. A parameter without a gradient counts as zero.
    """

    counts = ("weight",)

    def __init__(self, params: Iterable[Tensor]) -> None:
        self.params = parameters("GradientAccumulator", params)
        self.sums: dict[Tensor, Tensor] = {}
        self.weight = 0.0

    def __repr__(self) -> str:
        weight = getattr(self, "weight", 0.0)
        return reprs.call(self, [f"weight={weight:g}"], reprs.tensors(getattr(self, "params", ())))

    def add(self, weight: float = 1.0) -> None:
        """Take in the gradients of one backward; `.grad` is None after it. Raises SettingError unless weight > 0."""
        weight = number("GradientAccumulator", "weight", weight)
        if not 0 < weight < math.inf:
            raise SettingError(f"[GradientAccumulator] weight must be greater than 0, got {weight}")
        for param in self.params:
            if param.grad is not None:
                grad = param.grad.detach() if weight == 1 else param.grad.detach() * weight
                self.sums[param] = self.sums[param] + grad if param in self.sums else grad
                param.grad = None
        self.weight += weight

    def assign(self) -> None:
        """Put the means into `.grad` and start anew. Raises NeedleError when nothing was added."""
        if not self.weight:
            raise NeedleError("[GradientAccumulator] nothing to assign: call add() after each backward")
        for param in self.params:
            total = self.sums.get(param)
            param.grad = total if total is None or self.weight == 1 else total * (1 / self.weight)
        self.sums, self.weight = {}, 0.0

    def _arrays(self) -> State:
        return copies((str(i), self.sums[param]) for i, param in enumerate(self.params) if param in self.sums)

    def _restore(self, numbers: dict[str, Any], arrays: Mapping[str, Any]) -> None:
        params = {str(i): param for i, param in enumerate(self.params)}
        for key, array in arrays.items():
            if key not in params or tuple(params[key].shape) != numpy.shape(array):
                raise NeedleError(f"[GradientAccumulator] sum {key} of shape {numpy.shape(array)} fits no parameter")
        super()._restore(numbers, {})
        self.sums = {params[key]: like(params[key], array) for key, array in arrays.items()}


def by_kind(items: Sequence[Any], tensor: Callable[[Any], Tensor] = lambda item: item) -> list[list[Any]]:
    """The items in one list for each device and dtype of their tensors: one call of a kernel takes all of a list."""
    groups: dict[tuple[str, str], list[Any]] = {}
    for item in items:
        groups.setdefault((repr(tensor(item).device), str(tensor(item).dtype)), []).append(item)
    return list(groups.values())


def _where(params: Sequence[Tensor]) -> str:
    """Which gradient is the first that is not finite."""
    for i, param in enumerate(params):
        if param.grad is not None and not is_finite(param.grad.realize_cached_data()):
            return f": that of the parameter at index {i}, of shape {tuple(param.shape)}, is not finite"
    return ""


def _squared_norm(arrays: list[Any]) -> float:
    return float(kernels(arrays[0]).squared_norm(arrays))


def _largest(array: Any) -> float:
    return float(numpy.max(numpy.abs(_values(array)), initial=0.0))


def _values(array: Any) -> numpy.ndarray:
    """The elements in float64."""
    return numpy.asarray(reprs.seen(array), dtype="float64")
