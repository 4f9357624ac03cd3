"""Gradients against central differences, in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy

from ..autograd import Tensor
from ..errors import NeedleError
from ..nn import Module, Parameter
from ..nn.module_state import named_tensors

Arrays = list[numpy.ndarray]


def check_gradients(
    fn: Callable[..., Any], inputs: Any, eps: float = 1e-6, rtol: float = 1e-5, atol: float = 1e-7,
    second: bool = False, at_most: int = 100,
) -> float:  # fmt: skip
    """|dL/dx - (L(x + eps) - L(x - eps)) / (2 eps)| <= atol + rtol |dL/dx| for each element x; the largest difference.

    L is the sum of all outputs of `fn(*inputs)`, a Tensor or a tuple of them of any shapes, with fixed random weights.
    `inputs` is one Tensor or array or a sequence of them; integers are not differentiated. When `fn` is a Module its
    parameters are checked as well, in the mode it is in. With `second` the gradients of the gradients are checked
    instead. Of larger inputs `at_most` elements are tried. The computation is in float64; numpy's generator is put back
    before each, so that `fn` may draw.

    Raises NeedleError that names the input, the index, and both numbers where they differ most.
    """
    given = inputs if isinstance(inputs, list | tuple) else [inputs]
    arrays = [x.numpy() if isinstance(x, Tensor) else numpy.asarray(x) for x in given]
    with _in_double(fn) as parameters:
        names = [f"input {i}" for i in range(len(arrays))] + [name for name, _ in parameters]
        check = _Check(fn, [tensor for _, tensor in parameters], len(arrays), second)
        values = [_double(a) for a in arrays] + [numpy.array(tensor.numpy()) for _, tensor in parameters]
        gradients = check.gradients(values)
        found = _Report(rtol, atol)
        for number, gradient in enumerate(gradients):
            if gradient is not None:
                for index in _some(values[number].shape, at_most):
                    high, low = (check.perturbed(values, number, index, by) for by in (eps, -eps))
                    found.take(names[number], index, float(gradient[index]), (high - low) / (2 * eps))
    return found.result("second gradients" if second else "gradients")


class _Check:
    """A function of arrays, and what is compared: L and its gradient, or a sum of the gradients of L and theirs."""

    def __init__(self, fn: Callable[..., Any], parameters: list[Tensor], count: int, second: bool) -> None:
        self.fn, self.parameters, self.count, self.second = fn, parameters, count, second
        self.random = numpy.random.get_state()

    def loss(self, values: Arrays) -> tuple[Tensor, list[Tensor]]:
        """L, or the weighted sum of its gradients, and the Tensors that it depends on."""
        numpy.random.set_state(self.random)
        tensors = [Tensor(a, dtype=str(a.dtype), requires_grad=a.dtype.kind == "f") for a in values[: self.count]]
        for parameter, array in zip(self.parameters, values[self.count :], strict=True):
            parameter.data = Tensor(array, device=parameter.device, dtype="float64")
        every = [*tensors, *self.parameters]
        found = self.fn(*tensors)
        total = _weighted([found] if isinstance(found, Tensor) else found)
        if self.second:
            for x in every:
                x.grad = None
            total.backward()
            total = _weighted([x.grad for x in every if x.grad is not None])
        return total, every

    def gradients(self, values: Arrays) -> list[numpy.ndarray | None]:
        """The analytic gradient of each input; None of one that is not differentiated."""
        total, tensors = self.loss(values)
        for x in tensors:
            x.grad = None
        total.backward()
        return [_like(a, x.grad) if x.requires_grad else None for a, x in zip(values, tensors, strict=True)]

    def perturbed(self, values: Arrays, number: int, index: tuple[int, ...], by: float) -> float:
        """L where one element is moved."""
        moved = list(values)
        moved[number] = values[number].copy()
        moved[number][index] += by
        return float(self.loss(moved)[0].numpy().item())


class _Report:
    """The differences found."""

    def __init__(self, rtol: float, atol: float) -> None:
        self.rtol, self.atol = rtol, atol
        self.tried = self.wrong = 0
        self.largest = self.worst = 0.0
        self.message = ""

    def take(self, name: str, index: tuple[int, ...], analytic: float, numeric: float) -> None:
        """One element's two numbers."""
        difference, allowed = abs(analytic - numeric), self.atol + self.rtol * abs(analytic)
        self.tried += 1
        self.largest = max(self.largest, difference)
        if not difference <= allowed:  # NaN is wrong
            self.wrong += 1
            if not difference / allowed <= self.worst:
                self.worst = difference / allowed
                where = f"{name} at {index}" if index else name
                self.message = f"{where}: analytic {analytic:.8g}, numeric {numeric:.8g}"

    def result(self, what: str) -> float:
        """The largest difference. Raises NeedleError when one was too large."""
        if self.wrong:
            raise NeedleError(
                f"[check_gradients] {self.wrong} of {self.tried} {what} are wrong, most of all {self.message} "
                f"(allowed {self.atol:g} + {self.rtol:g} |analytic|)"
            )
        return self.largest


@contextmanager
def _in_double(fn: Any) -> Iterator[list[tuple[str, Tensor]]]:
    """The parameters of a Module by name; inside the block its tensors are float64, after it what they were."""
    names = {tensor: name for name, tensor in named_tensors(fn)} if isinstance(fn, Module) else {}
    before, random = {tensor: tensor.realize_cached_data() for tensor in names}, numpy.random.get_state()
    try:
        for tensor in names:
            if str(tensor.dtype) == "float32":
                wide = Tensor(tensor.numpy().astype("float64"), device=tensor.device, dtype="float64")
                tensor.cached_data, tensor._type = wide.realize_cached_data(), None
        yield [(name, tensor) for tensor, name in names.items() if isinstance(tensor, Parameter)]
    finally:
        numpy.random.set_state(random)
        for tensor, data in before.items():
            tensor.cached_data, tensor._type, tensor.grad = data, None, None


def _double(array: numpy.ndarray) -> numpy.ndarray:
    return array.astype("float64") if array.dtype.kind == "f" else array


def _weighted(tensors: Sequence[Tensor]) -> Tensor:
    """The sum of all elements with weights from 0.5 to 1.5: fixed ones, drawn from a generator of its own."""
    rng = numpy.random.RandomState(0)
    total: Any = None
    for x in tensors:
        weights = Tensor(rng.rand(*x.shape) + 0.5, device=x.device, dtype=str(x.dtype), requires_grad=False)
        total = (x * weights).sum() if total is None else total + (x * weights).sum()
    if not isinstance(total, Tensor) or not total.requires_grad:
        raise NeedleError("[check_gradients] the outcome does not depend on any input with a gradient")
    return total


def _like(array: numpy.ndarray, grad: Tensor | None) -> numpy.ndarray:
    """The gradient in the shape of its array: an NDArray of one number has the shape (1,)."""
    return numpy.zeros(array.shape) if grad is None else numpy.asarray(grad.numpy()).reshape(array.shape)


def _some(shape: tuple[int, ...], at_most: int) -> Iterator[tuple[int, ...]]:
    """Indices spread evenly over an array, all of them where there are no more."""
    size = int(numpy.prod(shape))
    for flat in numpy.unique(numpy.linspace(0, size - 1, min(size, at_most)).round().astype(int)):
        yield tuple(int(i) for i in numpy.unravel_index(flat, shape))
