"""Samples, meaning, PyTorch counterpart and refusals of padding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from needle import ops
from tests.case import Array, Case, Refusal, gathered, normal, torch

WIDTHS: list[tuple[tuple[int, int], ...]] = [((1, 2), (0, 3)), ((0, 0), (0, 0)), ((2, 0), (-1, 1)), ((-1, -1), (2, 2))]


def source(mode: str, i: int, n: int) -> int | None:
    """The place inside n elements that place i outside shows; None for the constant."""
    if 0 <= i < n:
        return i
    if mode == "constant":
        return None
    if mode == "edge":
        return 0 if i < 0 else n - 1
    if mode == "wrap":
        return i % n
    while not 0 <= i < n:
        i = -i if i < 0 else 2 * (n - 1) - i
    return i


def pad(op: Any, x: Array) -> Array:
    kept = x[tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, op.widths, strict=True))]
    widths = [(max(a, 0), max(b, 0)) for a, b in op.widths]
    shape = tuple(n + a + b for n, (a, b) in zip(kept.shape, widths, strict=True))

    def element(index: tuple[int, ...]) -> float:
        rows = zip(index, widths, kept.shape, strict=True)
        places = [source(op.mode, i - a, n) for i, (a, _), n in rows]
        return op.value if None in places else float(kept[tuple(places)])  # type: ignore[arg-type]

    return gathered(shape, element)


def pad_gradient(op: Any, g: Array) -> Array:
    dx = np.zeros(op.shape)
    for index in np.ndindex(*op.shape):
        one = np.zeros(op.shape)
        one[index] = 1
        dx[index] = (pad(ops.Pad(op.widths, op.mode), one) * g).sum()
    return dx


def torch_pad(op: Any, x: Any) -> Any:
    """Constants by PyTorch's own function; the other modes as elements chosen along each axis."""
    if op.mode == "constant":
        return torch.nn.functional.pad(x * 1, [n for w in op.widths[::-1] for n in w], value=op.value)
    for axis, (a, b) in enumerate(op.widths):
        kept = list(range(max(-a, 0), x.shape[axis] - max(-b, 0)))
        places = range(-max(a, 0), len(kept) + max(b, 0))
        chosen = [kept[source(op.mode, i, len(kept)) or 0] for i in places]
        x = torch.index_select(x, axis, torch.tensor(chosen))
    return x


def shape_of(widths: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n + a + b for n, (a, b) in zip(shape, widths, strict=True))


CASES: list[Case] = [
    *(Case(ops.Pad(w, "constant", v), (normal(3, 4),)) for w in WIDTHS for v in (0.0, -1.5)),
    *(Case(ops.Pad(w, mode), (normal(3, 4),)) for w in WIDTHS for mode in ("edge", "reflect", "wrap")),
    Case(ops.Pad(((5, 4),), "reflect"), (normal(3),)),
    Case(ops.Pad((), "constant", 2.0), (normal(),)),
    Case(ops.Pad(((1, 1), (0, 0))), (normal(0, 2),)),
    *(Case(ops.PadGradient(w, m, (3, 4)), (normal(*shape_of(w, (3, 4))),)) for m in ("constant", "wrap")
      for w in WIDTHS),
]

MEANING: dict[type, Callable[..., Any]] = {ops.Pad: pad, ops.PadGradient: pad_gradient}


TORCH: dict[type, Callable[..., Any]] = {
    ops.Pad: torch_pad,
}

REFUSALS: list[Refusal] = [
    (ops.Pad(((1, 1),)), ((2, 3),), r"\[pad\] needs \(before, after\) for each of 2 axes"),
    (ops.Pad(((1, 1),), "mirror"), ((2,),), r"\[pad\] .* a mode of constant, edge, reflect, wrap, got .* 'mirror'"),
    (ops.Pad(((-2, -1),)), ((2,),), r"\[pad\] widths .* cut off more than there is of \(2,\)"),
    (ops.Pad(((-4, 5),)), ((3,),), r"\[pad\] widths .* cut off more than there is of \(3,\)"),
    (ops.Pad(((-3, 2),), "edge"), ((3,),), r"\[pad\] mode 'edge' needs .*, got \(3,\), of which .* leave \(0,\)"),
    (ops.Pad(((1, 0),), "reflect"), ((1,),), r"\[pad\] mode 'reflect' needs more than 1 elements, got \(1,\)"),
    (ops.PadGradient(((1, 0),), "edge", (2,)), ((2,),), r"\[pad_gradient\] needs g \(3,\), got \(2,\)"),
]
