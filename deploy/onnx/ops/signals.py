"""Fourier transforms of signals, as real and imaginary parts along a last axis of 2, and filters on the mel scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy

from needle.types import Type

from .base import NumpyOp


@dataclass(frozen=True)
class DFT(NumpyOp):
    """y[k] = sum_t x[t] e^(-2 pi i k t / n) along an axis; x has a last axis of 1 (real) or 2 (complex)

    `inverse` has the other sign and divides by n; `onesided` keeps k <= n / 2, or takes such and gives real numbers.
    """

    axis: int
    length: int
    inverse: bool
    onesided: bool

    def infer(self, x: Type) -> Type:
        shape = list(x.shape)
        shape[self.axis] = self.length // 2 + 1 if self.onesided and not self.inverse else self.length
        shape[-1] = 1 if self.onesided and self.inverse else 2
        return Type(tuple(shape), x.dtype)

    def value(self, x: Any) -> Any:
        signal = x[..., 0].astype("complex128" if x.dtype == "float64" else "complex64")
        if x.shape[-1] == 2:
            signal.imag = x[..., 1]
        axis = self.axis
        if self.onesided and self.inverse:
            return numpy.fft.irfft(signal, self.length, axis)[..., None].astype(x.dtype)
        if self.onesided:
            y = numpy.fft.rfft(signal.real, self.length, axis)
        else:
            y = (numpy.fft.ifft if self.inverse else numpy.fft.fft)(signal, self.length, axis)
        return numpy.stack([y.real, y.imag], -1).astype(x.dtype)


@dataclass(frozen=True)
class STFT(NumpyOp):
    """y[n, f] = the transform of window * x[n, f step : f step + length], f counting the frames that fit"""

    step: int
    length: int
    onesided: bool

    def infer(self, x: Type, *window: Type) -> Type:
        frames = (x.shape[1] - self.length) // self.step + 1
        bins = self.length // 2 + 1 if self.onesided else self.length
        return Type((x.shape[0], frames, bins, 2), x.dtype)

    def value(self, x: Any, *window: Any) -> Any:
        signal = x[..., 0] + (1j * x[..., 1] if x.ndim == 3 and x.shape[-1] == 2 else 0) if x.ndim == 3 else x
        frames = (x.shape[1] - self.length) // self.step + 1
        parts = numpy.stack([signal[:, f * self.step : f * self.step + self.length] for f in range(frames)], 1)
        if window:
            w = numpy.zeros(self.length)
            w[(self.length - len(window[0])) // 2 :][: len(window[0])] = window[0]
            parts = parts * w
        y = numpy.fft.fft(parts, axis=-1)
        y = y[..., : self.length // 2 + 1] if self.onesided else y
        return numpy.stack([y.real, y.imag], -1).astype(x.dtype)


def mel_weights(bins: int, length: int, rate: int, low: float, high: float) -> Any:
    """(length / 2 + 1, bins): triangles that are evenly spaced on the mel scale, over the bins of a transform."""
    spectrum = length // 2 + 1
    mels = 2595 * numpy.log10(1 + numpy.array([low, high]) / 700)
    points = mels[0] + numpy.arange(bins + 2) * ((mels[1] - mels[0]) / (bins + 2))
    places = ((length + 1) * (700 * (10 ** (points / 2595) - 1)) // rate).astype("int64")
    out = numpy.zeros((spectrum, bins))
    for i in range(bins):
        first, centre, last = places[i : i + 3]
        if centre == first:
            out[centre, i] = 1
        else:
            for j in range(first, centre + 1):
                out[j, i] = (j - first) / (centre - first)
        for j in range(centre, last):
            if last > centre:
                out[j, i] = (last - j) / (last - centre)
    return out
