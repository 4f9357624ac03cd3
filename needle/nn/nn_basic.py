"""The basic layers, and the modules that are made of modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .. import init, ops
from ..autograd import Tensor
from ..errors import DTypeError, IndexRangeError, SettingError, ShapeError
from ..types import NUMBERS, plain_number
from .module import Module, Parameter, _child_modules, _unpack_params, check_features

__all__ = [
    "Dropout", "Embedding", "Flatten", "Identity", "Linear", "Module", "Parameter", "Residual", "Sequential",
    "SoftmaxLoss", "_child_modules", "_unpack_params",
]  # fmt: skip


class Identity(Module):
    """y = x."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Linear(Module):
    """y = x W + b, x (..., in_features), W (in_features, out_features), b (1, out_features).

    Draws W, then b, from kaiming_uniform. Raises ShapeError if the last axis of x is not in_features.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = "float32"
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        options = {"device": device, "dtype": dtype}
        self.weight = Parameter(init.kaiming_uniform(in_features, out_features, **options))
        self.bias = None
        if bias:
            self.bias = Parameter(init.kaiming_uniform(out_features, 1, **options).reshape((1, out_features)))

    def forward(self, x: Tensor) -> Tensor:
        check_features("Linear", x, self.in_features)
        return ops.matmul(x, self.weight) if self.bias is None else ops.affine(x, self.weight, self.bias)


class Embedding(Module):
    """y[..., :] = weight[ids[...]]: one learned row for each id; ids (T, B) whole numbers, y (T, B, embedding_dim).

    weight (num_embeddings, embedding_dim) is drawn from N(0, 1). Raises an error for an id outside 0..num_embeddings-1.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, device: Any = None, dtype: Any = "float32") -> None:
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.weight = Parameter(init.randn(num_embeddings, embedding_dim, device=device, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        return ops.embed(x, self.weight)


class Flatten(Module):
    """y[i] = all elements of x[i] in a row: (B, ...) to (B, product of the rest). ShapeError for shape ()."""

    def forward(self, x: Tensor) -> Tensor:
        if not x.shape:
            raise ShapeError("[Flatten] needs at least one axis, got shape ()")
        features = 1
        for size in x.shape[1:]:
            features *= size
        return ops.reshape(x, (x.shape[0], features))


class Sequential(Module):
    """y = f_n(... f_2(f_1(x))): the modules one after the other; x of the shape that the first one takes.

    `model[0]` is the first, `model[:2]` a Sequential of the first two. IndexRangeError outside them.
    """

    def __init__(self, *modules: Callable[[Any], Any]) -> None:
        super().__init__()
        self.modules = modules

    def __len__(self) -> int:
        return len(self.modules)

    def __iter__(self) -> Iterator[Callable[[Any], Any]]:
        return iter(self.modules)

    def __getitem__(self, index: Any) -> Any:
        """The module at an index, or the Sequential of a slice of them, which it shares with this one."""
        if isinstance(index, slice):
            part = Sequential(*self.modules[index])
            part.training = self.training
            return part
        try:
            return self.modules[index]
        except IndexError:
            raise IndexRangeError(f"[Sequential] index {index} is outside its {len(self)} modules") from None
        except TypeError:
            raise DTypeError(f"[Sequential] needs an int or a slice, got {type(index).__name__}") from None

    def forward(self, x: Any) -> Any:
        for module in self.modules:
            x = module(x)
        return x


class Residual(Module):
    """y = fn(x) + x."""

    def __init__(self, fn: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, x: Tensor) -> Tensor:
        return self.fn(x) + x


class SoftmaxLoss(Module):
    """loss = mean over rows of log sum exp(x) - x[label], with `smoothing` of the weight spread over all classes.

    logits (N, C), labels (N,) in 0..C-1. The loss has shape () in numpy mode and (1,) otherwise.
    """

    def __init__(self, smoothing: float = 0.0) -> None:
        super().__init__()
        self.smoothing = plain_number(smoothing)

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        return ops.cross_entropy(logits, y, self.smoothing)


class Dropout(Module):
    """y = x mask / (1 - p), mask = 1 with probability 1 - p, during training; y = x, and no draw, otherwise.

    x and y of any shape. Raises ValueError for p outside [0, 1).
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p: float = plain_number(p)
        if not isinstance(self.p, NUMBERS) or not 0 <= self.p < 1:
            raise SettingError(f"[Dropout] p must lie in [0, 1), got {p}")

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        mask = init.randb(*x.shape, p=1 - self.p, device=x.device, dtype=x.dtype)
        return x * (mask / (1 - self.p))
