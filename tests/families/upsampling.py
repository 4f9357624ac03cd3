"""Samples, meaning, PyTorch counterpart and refusals of upsampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from needle import ops
from tests.case import Array, Case, Refusal, normal, torch


def upsample(op: Any, x: Array) -> Array:
    """By interpolation along the rows and then along the columns."""
    for axis in (0, 1):
        size, outputs = x.shape[1 + axis], op.size[axis]
        scale = outputs / size if op.scale is None else op.scale[axis]
        if op.mode == "nearest":
            at = np.clip(np.floor(np.arange(outputs) / scale + 1e-9), 0, size - 1)
        else:
            at = (np.arange(outputs) + 0.5) / scale - 0.5
        lines = [np.interp(at, np.arange(size), line) for line in np.moveaxis(x, 1 + axis, -1).reshape(-1, size)]
        moved = np.moveaxis(x, 1 + axis, -1).shape[:-1]
        x = np.moveaxis(np.array(lines).reshape(*moved, outputs), -1, 1 + axis)
    return x


def torch_upsample(op: Any, x: Any) -> Any:
    how = {"size": op.size} if op.scale is None else {"scale_factor": op.scale}
    y = torch.nn.functional.interpolate(x.permute(0, 3, 1, 2), mode=op.mode, **how)
    return y.permute(0, 2, 3, 1)


# image, size, scale
SIZES: list[Any] = [
    ((3, 4), (6, 8), None), ((3, 4), (5, 7), None), ((5, 4), (2, 3), None), ((1, 3), (4, 1), None),
    ((3, 4), (7, 6), (2.5, 1.5)), ((4, 5), (2, 9), (0.7, 1.9)),
]  # fmt: skip

CASES: list[Case] = [
    *(
        Case(ops.Upsample(size, mode, scale), (normal(2, *image, 3),))
        for mode in ("nearest", "bilinear")
        for image, size, scale in SIZES
    ),
    Case(ops.Upsample((4, 4)), (normal(0, 2, 2, 3),)),
]

MEANING: dict[type, Callable[..., Any]] = {ops.Upsample: upsample}

TORCH: dict[type, Callable[..., Any]] = {ops.Upsample: torch_upsample}

REFUSALS: list[Refusal] = [
    (ops.Upsample((4, 4)), ((4, 4, 2),), r"\[upsample\] needs images \(N, H, W, C\) with H, W > 0, got \(4, 4, 2\)"),
    (ops.Upsample((4, 4)), ((1, 0, 4, 2),), r"\[upsample\] needs images \(N, H, W, C\) with H, W > 0"),
    (ops.Upsample((0, 4)), ((1, 4, 4, 2),), r"\[upsample\] needs a size of 1 or more each way .* got \(0, 4\) and"),
    (ops.Upsample((4, 4), "cubic"), ((1, 4, 4, 2),), r"\[upsample\] needs .* a mode of nearest, bilinear, .* 'cubic'"),
    (ops.Upsample((4, 4), scale=(0.0, 1.0)), ((1, 4, 4, 2),), r"\[upsample\] needs positive, finite scales, got \(0"),
]
