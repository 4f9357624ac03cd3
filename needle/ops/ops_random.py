"""Random numbers of traced graphs: functions of a key and a counter. Eager draws are numpy's (`needle.init`)."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy

from ..autograd import Tensor, TensorOp
from ..errors import DTypeError, SettingError, ShapeError
from ..types import Type
from . import array_compat
from .shape_rules import extent

__all__ = ["Random", "random"]

BITS = 24  # of a number: as many as float32 holds of every number in [0, 1)


@dataclass(frozen=True)
class Random(TensorOp):
    """y[i] = number i, uniform in [0, 1), of the stream that starts from (key, counter), for each place i of `shape`

    counter (1,), a whole number of any dtype but bool, y of float32, 0 <= key < 2^53. The same key and counter give the
    same numbers everywhere; others are independent of them. SplitMix64: Steele, Lea and Flood, "Fast splittable
    pseudorandom number generators", 2014.
    """

    shape: tuple[int, ...]
    key: int
    dtype: ClassVar[str] = "float32"

    def infer(self, counter: Type) -> Type:
        if not 0 <= self.key < 2**53:
            raise SettingError(f"[random] needs a key in 0..2^53 - 1, got {self.key}")
        if tuple(counter.shape) != (1,):
            raise ShapeError(f"[random] needs one counter, of shape (1,), got {counter.shape}")
        if counter.dtype == "bool":
            raise DTypeError("[random] needs a counter, which bool cannot be; take counter.astype('int64')")
        return Type(tuple(extent("random", n) for n in self.shape), self.dtype)

    def compute(self, counter: Any) -> Any:
        from ..keyed_random import uniform  # which eager programs do without

        (start,) = numpy.asarray(counter if isinstance(counter, numpy.ndarray) else counter.numpy())
        u = uniform(self.key, numpy.array([start], "int64"), prod(self.shape)).reshape(self.shape)
        return array_compat.constant(counter, numpy.floor(u * 2**BITS) / 2**BITS, self.dtype)

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        return (None,)


def random(counter: Tensor, shape: tuple[int, ...], key: int = 0) -> Tensor:
    """Uniform numbers in [0, 1), float32 of `shape`, which follow from the key and the counter (1,) alone.

    Raises SettingError, ShapeError or DTypeError for a key or a counter of another kind.
    """
    return Random(tuple(shape), key)(counter)
