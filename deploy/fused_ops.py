"""Ops that only the compiler makes: a convolution or matmul together with the pointwise steps that follow it, and what
becomes of weights: functions of them, so that they run again on other weights.

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
from needle.ops import ReLU
from needle.types import Type

STEPS = ("bias", "relu", "add")


@dataclass(frozen=True)
class FusedConv(TensorOp):
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
class FusedMatMul(TensorOp):
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
        return _like(w, _double(w) * (_double(g) / numpy.sqrt(_double(v) + self.eps)))


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
        scale = _double(g) / numpy.sqrt(_double(v) + self.eps)
        return _like(g, ((_double(b[0]) if b else 0.0) - _double(m)) * scale + _double(c))


@dataclass(frozen=True)
class Pack(TensorOp):
    """(K, N) as [ceil(N / 16)][K][16], zeros behind column N: the layout of weights in csrc/nd/direct_conv.h"""

    def infer(self, x: Type) -> Type:
        """(ceil(N / 16), K, 16)."""
        if len(x.shape) != 2:
            raise ShapeError(f"[pack] needs a matrix, got {x.shape}")
        return Type((-(-x.shape[1] // 16), x.shape[0], 16), x.dtype)

    def compute(self, x: Any) -> Any:
        rows, columns = x.shape
        padded = numpy.zeros((rows, -(-columns // 16) * 16), dtype=x.dtype)
        padded[:, :columns] = _numpy(x)
        return _like(x, padded.reshape(rows, -1, 16).transpose(1, 0, 2))


def _like(x: Any, array: numpy.ndarray) -> Any:
    """The array in the dtype and of the kind of x."""
    result = numpy.ascontiguousarray(array, dtype=x.dtype)
    return result if isinstance(x, numpy.ndarray) else type(x)(result, device=x.device)


def _double(x: Any) -> numpy.ndarray:
    """In float64: what is computed once may be computed well."""
    return _numpy(x).astype(numpy.float64)


def _numpy(x: Any) -> numpy.ndarray:
    return numpy.asarray(x.numpy() if hasattr(x, "numpy") else x)


def _check_epilogue(out: Type, epilogue: tuple[str, ...], more: tuple[Type, ...]) -> Type:
    """`out`, if the inputs in `more` are those that the steps need."""
    if any(step not in STEPS for step in epilogue):
        raise ShapeError(f"[epilogue] steps are {', '.join(STEPS)}, got {epilogue}")
    needed = [out.shape[-1:] if step == "bias" else out.shape for step in epilogue if step != "relu"]
    if [tuple(x.shape) for x in more] != needed:
        raise ShapeError(f"[epilogue] {epilogue} needs inputs of shapes {needed}, got {[x.shape for x in more]}")
    return out


def _epilogue(y: Any, epilogue: tuple[str, ...], more: tuple[Any, ...]) -> Any:
    """The steps, in order, on arrays."""
    rest = iter(more)
    for step in epilogue:
        if step == "relu":
            y = ReLU().compute(y)
        elif step == "bias":
            y = y + _broadcast(next(rest), y.shape)
        else:
            y = y + next(rest)
    return y


def _broadcast(bias: Any, shape: tuple[int, ...]) -> Any:
    """`bias` (C,) seen as an array of `shape` (..., C)."""
    bias = bias.reshape((1,) * (len(shape) - 1) + (shape[-1],))
    return numpy.broadcast_to(bias, shape) if isinstance(bias, numpy.ndarray) else bias.broadcast_to(shape)
