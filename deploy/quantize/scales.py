"""From numbers that a value takes to the step and the zero of its bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy

BINS = 2048
SHRUNK = numpy.linspace(0.2, 1, 81)  # of the whole range, what may be kept


class Scale(NamedTuple):
    """A byte q stands for (q - zero) step."""

    step: float
    zero: int


class Observed:
    """Of all numbers a value takes: the least and the largest, then how many are where between them."""

    def __init__(self) -> None:
        self.low = self.high = 0.0  # 0 is always one of them: padding is
        self.counts = numpy.zeros(BINS, numpy.int64)
        self.numbers = 0

    def widen(self, array: numpy.ndarray) -> None:
        """See the numbers for the first time."""
        self.low, self.high = min(self.low, float(array.min())), max(self.high, float(array.max()))

    def count(self, array: numpy.ndarray) -> None:
        """See them again. Zeros, which bytes hold exactly, do not count."""
        wanted = array[array != 0]
        self.counts += numpy.histogram(wanted, BINS, (self.low, self.high or 1.0))[0]

    def scale(self) -> Scale:
        """The range whose bytes are nearest to the numbers in the mean square, among parts of all that was seen.

        Within a range of 255 steps h rounding costs h^2 / 12 in the mean, and what lies outside its distance. So a few
        large numbers do not make all others coarse; unlike a percentile's, how few is a matter of the numbers alone.
        """
        if self.high == self.low:
            return Scale(1.0, 0)
        edges = numpy.linspace(self.low, self.high or 1.0, BINS + 1)
        centres = (edges[1:] + edges[:-1]) / 2
        errors = [self._error(centres, part) for part in SHRUNK]
        return scale_of(*(float(SHRUNK[int(numpy.argmin(errors))]) * x for x in (self.low, self.high)))

    def _error(self, centres: numpy.ndarray, part: float) -> float:
        """The sum of squares with this part of the range."""
        low, high = part * self.low, part * self.high
        outside = numpy.maximum(centres - high, 0) + numpy.maximum(low - centres, 0)
        rounding = ((high - low) / 255) ** 2 / 12
        return float((self.counts * numpy.where(outside > 0, outside**2, rounding)).sum())


def scale_of(low: float, high: float) -> Scale:
    """The scale of bytes that reach from low <= 0 to high >= 0, of which 0 is one."""
    step = float(numpy.float32(max((high - low) / 255, 1e-30)))
    return Scale(step, min(255, max(0, round(-low / step))))


def column_scales(w: numpy.ndarray, least: numpy.ndarray | float = 0.0) -> numpy.ndarray:
    """The steps of signed bytes -127..127 for each column of w (..., Co), at least `least`."""
    most = numpy.abs(w).reshape(-1, w.shape[-1]).max(axis=0).astype(numpy.float64) / 127
    found: numpy.ndarray = numpy.maximum(most, least)
    return numpy.where(found > 0, found, 1.0)


def split(total: int, size: int) -> Sequence[slice]:
    """Slices of `size` that cover `total`."""
    return [slice(i, min(i + size, total)) for i in range(0, total, size)]
