"""Ops that only the compiler's passes make: a convolution or matmul together with the pointwise steps that follow it.

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
