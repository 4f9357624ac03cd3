"""Recurrent networks in full: rows of different lengths, peepholes, other activations, clipping, backwards in time.

What needle's own LSTM, GRU and RNN are, the table gives to those; this is for the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy

from needle.errors import ShapeError
from needle.types import Type

from .base import NumpyTupleOp


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + numpy.exp(-x))


ACTIVATIONS: dict[str, Callable[[Any, float, float], Any]] = {
    "affine": lambda x, a, b: a * x + b,
    "elu": lambda x, a, b: numpy.where(x < 0, a * (numpy.exp(x) - 1), x),
    "hardsigmoid": lambda x, a, b: numpy.clip(a * x + b, 0, 1),
    "leakyrelu": lambda x, a, b: numpy.where(x < 0, a * x, x),
    "relu": lambda x, a, b: numpy.maximum(x, 0),
    "scaledtanh": lambda x, a, b: a * numpy.tanh(b * x),
    "sigmoid": lambda x, a, b: _sigmoid(x),
    "softplus": lambda x, a, b: numpy.log1p(numpy.exp(x)),
    "softsign": lambda x, a, b: x / (1 + numpy.abs(x)),
    "tanh": lambda x, a, b: numpy.tanh(x),
    "thresholdedrelu": lambda x, a, b: numpy.where(x > a, x, 0),
}
DEFAULTS = {
    "affine": (1.0, 0.0), "elu": (1.0, 0.0), "hardsigmoid": (0.2, 0.5), "leakyrelu": (0.01, 0.0),
    "scaledtanh": (1.0, 1.0), "thresholdedrelu": (1.0, 0.0),
}  # fmt: skip
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
Activation = tuple[str, float, float]


@dataclass(frozen=True)
class Recurrent(NumpyTupleOp):
    """(h of all steps (T, D, B, H), h of the last (D, B, H), for LSTM c of the last) of a network in D directions

    Gates of LSTM i, o, f, c, of GRU z, r, h. Inputs x (T, B, I), W (D, G H, I), R (D, G H, H) and, as `given` names
    them: B (D, 2 G H), lengths (B,), h0 and c0 (D, B, H), P (D, 3 H). Behind its length a row is 0.
    """

    kind: str
    directions: tuple[str, ...]
    activations: tuple[tuple[Activation, ...], ...]
    given: tuple[str, ...] = ()
    clip: float | None = None
    linear_before_reset: bool = False
    input_forget: bool = False

    def infer(self, x: Type, W: Type, R: Type, *more: Type) -> tuple[Type, ...]:
        hidden, d, gates = R.shape[-1], len(self.directions), GATES[self.kind]
        if len(x.shape) != 3 or W.shape != (d, gates * hidden, x.shape[2]) or R.shape != (d, gates * hidden, hidden):
            raise ShapeError(f"[{self.kind}] needs x (T, B, I), W (D, {gates}H, I), R (D, {gates}H, H), "
                             f"got {x.shape}, {W.shape}, {R.shape}")  # fmt: skip
        state = Type((d, x.shape[1], hidden), x.dtype)
        results = Type((x.shape[0], *state.shape), x.dtype), state, state
        return results if self.kind == "LSTM" else results[:2]

    def value(self, x: Any, W: Any, R: Any, *more: Any) -> Any:
        extra, (steps, batch, _), hidden = dict(zip(self.given, more, strict=True)), x.shape, R.shape[-1]
        lengths = extra.get("lengths", numpy.full(batch, steps)).astype("int64")
        outs, lasts, cells = [], [], []
        for d, direction in enumerate(self.directions):
            zeros = numpy.zeros((batch, hidden), dtype=x.dtype)
            h, c = (extra[name][d] if name in extra else zeros for name in ("h0", "c0"))
            gates = GATES[self.kind] * hidden
            bias = extra["B"][d] if "B" in extra else numpy.zeros(2 * gates, dtype=x.dtype)
            peep = extra["P"][d] if "P" in extra else numpy.zeros(3 * hidden, dtype=x.dtype)
            y = numpy.zeros((steps, batch, hidden), dtype=x.dtype)
            for t in range(steps):
                at = numpy.where(t < lengths, lengths - 1 - t, t) if direction == "reverse" else numpy.full(batch, t)
                seen = x[at, numpy.arange(batch)]
                new_h, new_c = self._step(d, seen, h, c, W[d], R[d], bias, peep)
                live = (t < lengths)[:, None]
                h, c = numpy.where(live, new_h, h), numpy.where(live, new_c, c)
                rows = numpy.flatnonzero(live)
                y[at[rows], rows] = h[rows]
            outs.append(y)
            lasts.append(h)
            cells.append(c)
        results = numpy.stack(outs, 1), numpy.stack(lasts), numpy.stack(cells)
        found = results if self.kind == "LSTM" else results[:2]
        return tuple(r.astype(x.dtype) for r in found)

    def _f(self, d: int, i: int, x: Any) -> Any:
        name, a, b = self.activations[d][i]
        return ACTIVATIONS[name](x if self.clip is None else numpy.clip(x, -self.clip, self.clip), a, b)

    def _step(self, d: int, x: Any, h: Any, c: Any, W: Any, R: Any, bias: Any, peep: Any) -> tuple[Any, Any]:
        """(h, c) after one step."""
        hidden = R.shape[-1]
        wb, rb = numpy.split(bias, 2)
        if self.kind == "RNN":
            return self._f(d, 0, x @ W.T + h @ R.T + wb + rb), c
        if self.kind == "GRU":
            (xz, xr, xh), (rz, rr, rh) = numpy.split(x @ W.T + wb, 3, -1), numpy.split(R, 3)
            bz, br, bh = numpy.split(rb, 3)
            z, r = self._f(d, 0, xz + h @ rz.T + bz), self._f(d, 0, xr + h @ rr.T + br)
            own = r * (h @ rh.T + bh) if self.linear_before_reset else (r * h) @ rh.T + bh
            n = self._f(d, 1, xh + own)
            return (1 - z) * n + z * h, c
        i, o, f, g = numpy.split(x @ W.T + h @ R.T + wb + rb, 4, -1)
        pi, po, pf = numpy.split(peep, 3)
        i = self._f(d, 0, i + pi * c)
        f = 1 - i if self.input_forget else self._f(d, 0, f + pf * c)
        new = f * c + i * self._f(d, 1, g)
        o = self._f(d, 0, o + po * new)
        assert hidden
        return o * self._f(d, 2, new), new
