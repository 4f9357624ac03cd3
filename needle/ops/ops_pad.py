"""Tensors with more around them: constants, the edge, or what lies inside, mirrored or wrapped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from ..autograd import Tensor, TensorOp
from ..errors import ShapeError
from ..types import Type, held
from .attributes import PlainFields
from .plain_op import by_numpy
from .shape_rules import extent

__all__ = ["Pad", "PadGradient", "pad"]

Widths = tuple[tuple[int, int], ...]
MODES = ("constant", "edge", "reflect", "wrap")


@dataclass(frozen=True)
class Pad(PlainFields, TensorOp):
    """y[..., i, ...] = x[..., i - before, ...], where that is outside of x: `value`, or an element of x by `mode`

    `widths` are (before, after) of each axis; negative ones cut off. "edge" repeats the outermost element, "reflect"
    mirrors x without repeating it, "wrap" goes on at the other end.
    """

    widths: Widths
    mode: str = "constant"
    value: float = 0.0

    def infer(self, x: Type) -> Type:
        if len(self.widths) != len(x.shape) or self.mode not in MODES:
            needs = f"(before, after) for each of {len(x.shape)} axes and a mode of {', '.join(MODES)}"
            raise ShapeError(f"[pad] needs {needs}, got {self.widths} and {self.mode!r}")
        left = tuple(n + min(a, 0) + min(b, 0) if min(a, b) < 0 else n for n, (a, b) in self._axes(x.shape))
        if any(n < 0 for n in left):
            raise ShapeError(f"[pad] widths {self.widths} cut off more than there is of {x.shape}")
        if self.mode == "constant":
            held("pad", self.value, x.dtype)
        else:
            inside = 1 if self.mode == "reflect" else 0
            if any(max(a, b) > 0 and n <= inside for n, (a, b) in self._axes(left)):
                cut = "" if left == x.shape else f", of which widths {self.widths} leave {left}"
                raise ShapeError(f"[pad] mode {self.mode!r} needs more than {inside} elements, got {x.shape}{cut}")
        return Type(tuple(n + max(a, 0) + max(b, 0) if max(a, b) > 0 else n for n, (a, b) in self._axes(left)), x.dtype)

    def _axes(self, shape: tuple[int, ...]) -> Iterable[tuple[int, tuple[int, int]]]:
        """(size, (before, after)) of each axis."""
        return zip(shape, self.widths, strict=True)

    def compute(self, x: Any) -> Any:
        return by_numpy(self._value, x)

    def _value(self, x: Any) -> Any:
        cut = tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in self._axes(x.shape))
        widths = [(max(a, 0), max(b, 0)) for a, b in self.widths]
        if not widths:
            return x.copy()
        if self.mode == "constant":
            return numpy.pad(x[cut], widths, constant_values=x.dtype.type(self.value))
        return numpy.pad(x[cut], widths, mode=self.mode)  # type: ignore[call-overload]

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return PadGradient(self.widths, self.mode, tuple(node.inputs[0].shape))(out_grad)


@dataclass(frozen=True)
class PadGradient(PlainFields, TensorOp):
    """dx = sum of g over the places of y that hold an element of x, of a shape"""

    widths: Widths
    mode: str
    shape: tuple[int, ...]

    def infer(self, g: Type) -> Type:
        needed = Pad(self.widths, self.mode).infer(Type(self.shape, g.dtype))
        if g.shape != needed.shape:
            raise ShapeError(f"[pad_gradient] needs g {needed.shape}, got {g.shape}")
        return Type(tuple(extent("pad_gradient", n) for n in self.shape), g.dtype)

    def compute(self, g: Any) -> Any:
        return by_numpy(self._value, g)

    def _value(self, g: Any) -> Any:
        places = numpy.arange(int(numpy.prod(self.shape)), dtype="int64").reshape(self.shape)
        source = Pad(self.widths, self.mode, -1)._value(places).reshape(-1)
        dx, inside = numpy.zeros(places.size, dtype=g.dtype), source >= 0
        numpy.add.at(dx, source[inside], g.reshape(-1)[inside])
        return dx.reshape(self.shape)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return Pad(self.widths, self.mode)(out_grad)


def pad(x: Tensor, widths: Sequence[tuple[int, int]], mode: str = "constant", value: float = 0.0) -> Tensor:
    """x with (before, after) more elements along each axis, of this value or by the mode; see `Pad`."""
    return Pad(tuple((int(a), int(b)) for a, b in widths), mode, value)(x)

