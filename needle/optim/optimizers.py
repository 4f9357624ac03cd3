"""Optimizers. A step puts a new array into each parameter's `data`: arrays detached before keep their values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any

import numpy

from .. import reprs
from ..autograd import Tensor, cut_gradients
from ..backend_ndarray.kernels import kernels
from ..errors import NeedleError
from ..ops import array_compat
from .gradients import array_of_gradient, by_kind, clip_grad_norm
from .settings import fraction, parameters, positive
from .stateful import State, Stateful, like


class Optimizer(Stateful):
    """Updates `params` from their `grad`; parameters without a gradient are left alone.

    Raises NeedleError for an empty list, one that holds anything but Tensors or one of them twice, and SettingError for
    a rate or decay that is negative or not finite, or a momentum outside [0, 1).
    """

    buffers: tuple[str, ...] = ()  # the attributes that map each parameter to an array of its state between steps
    counts: tuple[str, ...] = ("t",)
    settings: tuple[str, ...] = ("lr",)
    t = 0
    lr: float

    def __init__(self, params: Iterable[Tensor]) -> None:
        self.params = _checked(type(self).__name__, params)

    def __repr__(self) -> str:
        steps = f", step {self.t}" if self.t else ""
        return reprs.call(self, reprs.settings(self, every=True), reprs.tensors(getattr(self, "params", ())) + steps)

    def step(self) -> None:
        """One update of every parameter that has a gradient."""
        raise NotImplementedError

    def reset_grad(self) -> None:
        """Forget the gradients."""
        for param in self.params:
            param.grad = None

    def _arrays(self) -> State:
        return {
            f"{name}.{i}": numpy.array(getattr(self, name)[param])
            for name in self.buffers
            for i, param in enumerate(self.params)
            if param in getattr(self, name)
        }

    def _restore(self, numbers: dict[str, Any], arrays: Mapping[str, Any]) -> None:
        names = {f"{name}.{i}": (name, param) for name in self.buffers for i, param in enumerate(self.params)}
        for key, array in arrays.items():
            if key not in names or tuple(names[key][1].shape) != numpy.shape(array):
                raise NeedleError(
                    f"[{type(self).__name__}] state {key} of shape {numpy.shape(array)} fits no parameter"
                )
        super()._restore(numbers, {})
        for name in self.buffers:
            setattr(self, name, {})
        for key, array in arrays.items():
            name, param = names[key]
            getattr(self, name)[param] = like(param, array).realize_cached_data()

    def _pairs(self) -> list[tuple[Tensor, Any, Any]]:
        """(parameter, its array, its gradient's array) of those that have a gradient.

        Gradients of large tensors are cut off from the graph that they came from.
        """
        pairs = []
        for param in self.params:
            if param.grad is not None:
                pairs.append((param, param.realize_cached_data(), array_of_gradient(type(self).__name__, param)))
                cut_gradients(param)
        return pairs

    def _groups(self) -> Iterator[tuple[list[Tensor], list[Any], list[Any]]]:
        """`_pairs` as lists of parameters, arrays and gradients, one group for each kind: a kernel takes all."""
        for group in by_kind(self._pairs(), itemgetter(0)):
            yield tuple(map(list, zip(*group, strict=True)))  # type: ignore[misc]


class SGD(Optimizer):
    """u = momentum u + (1 - momentum) (g + weight_decay p); p = p - lr u, with u = 0 at first and no correction.

    This is the course's damped momentum; `NesterovSGD` has the undamped one that other libraries call SGD.
    """

    buffers = ("u",)
    settings = ("lr", "momentum", "weight_decay")

    def __init__(
        self, params: Iterable[Tensor], lr: float = 0.01, momentum: float = 0.0, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params)
        self.lr, self.weight_decay = positive("SGD", lr=lr, weight_decay=weight_decay)
        (self.momentum,) = fraction("SGD", momentum=momentum)
        self.u: dict[Tensor, Any] = {}

    def step(self) -> None:
        for params, arrays, grads in self._groups():
            velocities = _states(self.u, params, arrays) if self.momentum else []
            step = kernels(arrays[0]).sgd_step
            _assign(params, step(arrays, grads, velocities, self.lr, self.momentum, self.weight_decay))

    def clip_grad_norm(self, max_norm: float = 0.25) -> float:
        """`needle.clip_grad_norm` of this optimizer's parameters."""
        return clip_grad_norm(self.params, max_norm)


class Adam(Optimizer):
    """m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; p = p - lr mhat / (sqrt(vhat) + eps).

    mhat = m / (1 - b1^t), vhat = v / (1 - b2^t); weight_decay p is added to g.
    Source: Kingma and Ba, "Adam: a method for stochastic optimization", 2015.
    """

    decoupled = False
    buffers = ("m", "v")
    settings = ("lr", "beta1", "beta2", "eps", "weight_decay")

    def __init__(
        self, params: Iterable[Tensor], lr: float = 0.01, beta1: float = 0.9, beta2: float = 0.999,
        eps: float = 1e-8, weight_decay: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(params)
        where = type(self).__name__
        self.lr, self.eps, self.weight_decay = positive(where, lr=lr, eps=eps, weight_decay=weight_decay)
        self.beta1, self.beta2 = fraction(where, beta1=beta1, beta2=beta2)
        self.t = 0
        self.m: dict[Tensor, Any] = {}
        self.v: dict[Tensor, Any] = {}

    def step(self) -> None:
        self.t += 1
        for params, arrays, grads in self._groups():
            m, v = _states(self.m, params, arrays), _states(self.v, params, arrays)
            settings = (self.t, self.lr, self.beta1, self.beta2, self.eps, self.weight_decay, self.decoupled)
            _assign(params, kernels(arrays[0]).adam_step(arrays, grads, m, v, *settings))


class AdamW(Adam):
    """Adam with p = p - lr weight_decay p taken off first, in place of weight_decay p in the gradient.

    Source: Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.
    """

    decoupled = True


class NesterovSGD(Optimizer):
    """d = g + weight_decay p; u = momentum u + d; p = p - lr (d + momentum u), with u = 0 at first.

    With `nesterov=False` p = p - lr u: the plain, undamped momentum of Polyak's heavy ball.
    Source: Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013.
    """

    buffers = ("u",)
    settings = ("lr", "momentum", "weight_decay", "nesterov")

    def __init__(
        self, params: Iterable[Tensor], lr: float = 0.01, momentum: float = 0.9, weight_decay: float = 0.0,
        nesterov: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(params)
        self.lr, self.weight_decay = positive("NesterovSGD", lr=lr, weight_decay=weight_decay)
        (self.momentum,) = fraction("NesterovSGD", momentum=momentum)
        self.nesterov = nesterov
        self.u: dict[Tensor, Any] = {}

    def step(self) -> None:
        for params, arrays, grads in self._groups():
            step, u = kernels(arrays[0]).momentum_step, _states(self.u, params, arrays)
            _assign(params, step(arrays, grads, u, self.lr, self.momentum, self.weight_decay, self.nesterov))


def _checked(where: str, params: Any) -> list[Tensor]:
    """`params` as a list of different Tensors, at least one. Raises NeedleError."""
    tensors = parameters(where, params)
    if not tensors:
        raise NeedleError(f"[{where}] needs at least one parameter, got an empty list")
    first: dict[Tensor, int] = {}
    for i, param in enumerate(tensors):
        if first.setdefault(param, i) != i:
            raise NeedleError(f"[{where}] the parameter at index {i} is the one at {first[param]} again")
    return tensors


def _states(states: dict[Tensor, Any], params: list[Tensor], arrays: list[Any]) -> list[Any]:
    """What `states` keeps for each parameter: zeros at first."""
    for param, array in zip(params, arrays, strict=True):
        if param not in states:
            states[param] = array_compat.filled(array, array.shape)
    return [states[param] for param in params]


def _assign(params: list[Tensor], arrays: list[Any]) -> None:
    for param, array in zip(params, arrays, strict=True):
        param.data = Tensor.make_const(array)
