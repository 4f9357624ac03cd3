"""Ops that only the compiler makes: a convolution or matmul together with the pointwise steps that follow it, and what
normalisations make of weights: functions of them, so that they run again on other weights.

They have `infer` and `compute` like every op, so the interpreter checks what the passes do; being made after training,
they have no gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy

from needle.autograd import TensorOp
from needle.backend_ndarray.kernels import kernels
from needle.errors import ShapeError
from needle.ops import Clip, Conv, ConvInputGradient, Permute, ReLU, SiLU
from needle.ops.plain_op import by_numpy
from needle.types import Type

from .arrays import double, like

READING = ("bias", "add")  # steps that read another tensor
ACTIVATIONS: dict[str, Any] = {  # and those that do not
    "relu": lambda y: ReLU().compute(y),
    "relu6": lambda y: Clip(0.0, 6.0).compute(y),
    "silu": lambda y: SiLU().compute(y),
    "hard_sigmoid": lambda y: Clip(0.0, 1.0).compute(y * (1 / 6) + 0.5),
    "hard_swish": lambda y: y * Clip(0.0, 1.0).compute(y * (1 / 6) + 0.5),
}
STEPS = (*READING, *ACTIVATIONS)


class Product(TensorOp):
    """A product of values with weights, finished by the steps of its epilogue."""

    epilogue: tuple[str, ...]


@dataclass(frozen=True)
class FusedConv(Product):
    """y = epilogue(conv(x, w)), x (N, H, W, Ci) with `padding` zeros around each map, w (K, K, Ci, Co).

    `epilogue` lists steps in order: "bias" adds the next input (Co,), "relu", "add" adds the next input, shaped like y.
    """

    stride: int = 1
    padding: int = 0
    epilogue: tuple[str, ...] = ()

    def infer(self, x: Type, w: Type, *more: Type) -> Type:
        """(N, Ho, Wo, Co) with Ho = (H + 2 padding - K) // stride + 1."""
        if len(x.shape) != 4 or len(w.shape) != 4 or w.shape[0] != w.shape[1] or x.shape[3] != w.shape[2]:
            raise ShapeError(f"[fused conv] needs x (N, H, W, Ci) and w (K, K, Ci, Co), got {x.shape} and {w.shape}")
        if self.stride < 1 or self.padding < 0:
            raise ShapeError(f"[fused conv] needs stride >= 1 and padding >= 0, got {self.stride} and {self.padding}")
        rows, columns = ((size + 2 * self.padding - w.shape[0]) // self.stride + 1 for size in x.shape[1:3])
        if rows < 1 or columns < 1:
            raise ShapeError(f"[fused conv] the kernel {w.shape} does not fit into {x.shape} padded by {self.padding}")
        return _check_epilogue(Type((x.shape[0], rows, columns, w.shape[3]), x.dtype), self.epilogue, more)

    def compute(self, x: Any, w: Any, *more: Any) -> Any:
        return _epilogue(kernels(x).conv(x, w, self.stride, self.padding), self.epilogue, more)


@dataclass(frozen=True)
class FusedTransposedConv(Product):
    """y = epilogue(the transposed convolution of x (N, h, w, I) with w (K, K, I, O)); `epilogue` as in FusedConv

    `height` and `width` are those of y, of which a convolution with this stride and padding would give x its size.
    """

    stride: int
    padding: int
    height: int
    width: int
    epilogue: tuple[str, ...] = ()

    def infer(self, x: Type, w: Type, *more: Type) -> Type:
        """(N, height, width, O)."""
        out = self._plain().infer(x, Type((*w.shape[:2], w.shape[3], w.shape[2]), w.dtype))
        return _check_epilogue(out, self.epilogue, more)

    def compute(self, x: Any, w: Any, *more: Any) -> Any:
        return _epilogue(self._plain().compute(x, Permute((0, 1, 3, 2)).compute(w)), self.epilogue, more)

    def _plain(self) -> ConvInputGradient:
        return ConvInputGradient(self.stride, self.padding, self.height, self.width)


@dataclass(frozen=True)
class FusedGroupedConv(Product):
    """y = epilogue(conv(x, w)) in `groups` of channels, w (K, K, Ci / groups, Co); `epilogue` as in FusedConv

    `padding` is that of rows and of columns; taps are `dilation` apart.
    """

    stride: int
    padding: tuple[int, int]
    groups: int
    dilation: int
    epilogue: tuple[str, ...] = ()

    def infer(self, x: Type, w: Type, *more: Type) -> Type:
        """(N, Ho, Wo, Co)."""
        return _check_epilogue(self._plain().infer(x, w), self.epilogue, more)

    def compute(self, x: Any, w: Any, *more: Any) -> Any:
        return _epilogue(self._plain().compute(x, w), self.epilogue, more)

    def _plain(self) -> Conv:
        return Conv(self.stride, self.padding, self.groups, self.dilation)


@dataclass(frozen=True)
class FusedMatMul(Product):
    """y = epilogue(x @ w), x (M, K), w (K, N); `epilogue` as in FusedConv, bias (N,)."""

    epilogue: tuple[str, ...] = ()

    def infer(self, x: Type, w: Type, *more: Type) -> Type:
        """(M, N)."""
        if len(x.shape) != 2 or len(w.shape) != 2 or x.shape[1] != w.shape[0]:
            raise ShapeError(f"[fused matmul] inner sizes must agree, got {x.shape} @ {w.shape}")
        return _check_epilogue(Type((x.shape[0], w.shape[1]), x.dtype), self.epilogue, more)

    def compute(self, x: Any, w: Any, *more: Any) -> Any:
        return _epilogue(kernels(x).matmul(x, w), self.epilogue, more)


@dataclass(frozen=True)
class NormedWeight(TensorOp):
    """w s over the last axis, s = g / sqrt(v + eps): the weight of a product that a batch normalisation follows"""

    eps: float

    def infer(self, w: Type, g: Type, v: Type) -> Type:
        """Shaped like w."""
        if not g.shape == v.shape == w.shape[-1:]:
            raise ShapeError(f"[normed weight] needs w (..., C), g and v (C,), got {w.shape}, {g.shape}, {v.shape}")
        return w

    def compute(self, w: Any, g: Any, v: Any) -> Any:
        return like(w, double(w) * (double(g) / numpy.sqrt(double(v) + self.eps)))


@dataclass(frozen=True)
class NormedBias(TensorOp):
    """(b - m) s + c, s = g / sqrt(v + eps): the bias of a product that a batch normalisation follows; b may be 0"""

    eps: float

    def infer(self, g: Type, c: Type, m: Type, v: Type, *b: Type) -> Type:
        """(C,)."""
        if len(g.shape) != 1 or not all(x.shape == g.shape for x in (c, m, v, *b)):
            raise ShapeError(f"[normed bias] needs vectors of one size, got {[x.shape for x in (g, c, m, v, *b)]}")
        return g

    def compute(self, g: Any, c: Any, m: Any, v: Any, *b: Any) -> Any:
        scale = double(g) / numpy.sqrt(double(v) + self.eps)
        return like(g, ((double(b[0]) if b else 0.0) - double(m)) * scale + double(c))


def _check_epilogue(out: Type, epilogue: tuple[str, ...], more: tuple[Type, ...]) -> Type:
    """`out`, if the inputs in `more` are those that the steps need."""
    if any(step not in STEPS for step in epilogue):
        raise ShapeError(f"[epilogue] steps are {', '.join(STEPS)}, got {epilogue}")
    needed = [out.shape[-1:] if step == "bias" else out.shape for step in epilogue if step in READING]
    if [tuple(x.shape) for x in more] != needed:
        raise ShapeError(f"[epilogue] {epilogue} needs inputs of shapes {needed}, got {[x.shape for x in more]}")
    return out


def _epilogue(y: Any, epilogue: tuple[str, ...], more: tuple[Any, ...]) -> Any:
    """The steps, in order, on arrays."""
    rest = iter(more)
    for step in epilogue:
        if step in ACTIVATIONS:
            y = ACTIVATIONS[step](y)
        elif step == "bias":
            y = y + _broadcast(next(rest), y.shape)
        else:
            y = y + next(rest)
    return y


def _broadcast(bias: Any, shape: tuple[int, ...]) -> Any:
    """`bias` (C,) seen as an array of `shape` (..., C)."""
    bias = bias.reshape((1,) * (len(shape) - 1) + (shape[-1],))
    return numpy.broadcast_to(bias, shape) if isinstance(bias, numpy.ndarray) else bias.broadcast_to(shape)


@dataclass(frozen=True)
class Unfold(TensorOp):
    """y[i, j, k, u] = x[i, j stride + u dilation - before, k], j and u each several axes: windows, `value` outside

    x (*lead, *S, *rest), its axes S from `first` on, y (*lead, *count, *rest, *kernel); `padding` is (before, after).
    """

    first: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    count: tuple[int, ...]
    value: float = 0.0

    def infer(self, x: Type) -> Type:
        end = self.first + len(self.kernel)
        return Type((*x.shape[: self.first], *self.count, *x.shape[end:], *self.kernel), x.dtype)

    def compute(self, x: Any) -> Any:
        return by_numpy(self._value, x)

    def _value(self, x: Any) -> Any:
        end = self.first + len(self.kernel)
        around = [(0, 0)] * self.first + [(a, b) for a, b in self.padding] + [(0, 0)] * (x.ndim - end)
        wide = numpy.pad(x, around, constant_values=x.dtype.type(self.value))
        steps = wide.strides[self.first : end]
        strides = (
            *wide.strides[: self.first], *(n * s for n, s in zip(steps, self.stride, strict=True)),
            *wide.strides[end:], *(n * d for n, d in zip(steps, self.dilation, strict=True)),
        )  # fmt: skip
        shape = (*x.shape[: self.first], *self.count, *x.shape[end:], *self.kernel)
        return numpy.lib.stride_tricks.as_strided(wide, shape, strides).copy()
