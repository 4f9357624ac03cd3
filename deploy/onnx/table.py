"""The table of ONNX operators: a row each, how it is read and how ops are written as it, or `Refused("reason")`.

The rows live in `rows/`, by family. `ROWS` is by operator ("ai.onnx.ml.Scaler" where the domain is not the standard's),
`WRITE` by class of op: total over what a graph may hold.
"""

from __future__ import annotations

from typing import Any

from .. import coded_weights, fused_ops, quantized_ops
from ..registry import OPS
from . import ops as only_here
from .row import Refused, Row
from .rows import (
    control,
    draws,
    images,
    learned,
    native,
    norm,
    other,
    places,
    pointwise,
    pool,
    products,
    recurrent,
    reduce,
    runtime,
    shape,
    support,
    trees,
)
from .rows.native import COMPILED, TRAINING

__all__ = ["ROWS", "WRITE", "Refused", "Row"]

FAMILIES = (
    pointwise, shape, places, reduce, products, pool, norm, recurrent, control, images, draws, learned, support, trees,
    other, runtime,
)  # fmt: skip
ROWS: dict[str, Row | Refused] = {}
for family in FAMILIES:
    if twice := ROWS.keys() & family.ROWS.keys():
        raise ValueError(f"two families have rows for {twice}")
    ROWS.update(family.ROWS)

ONLY_READ = Refused("it comes from ONNX models and is read alone; export the model that it came from")
QUANTIZED = Refused("kernels of bytes and codes have a layout of their own; export the float model that was quantized")
REASONS = {fused_ops.__name__: COMPILED, quantized_ops.__name__: QUANTIZED, coded_weights.__name__: QUANTIZED}


def _writers() -> dict[type, Any]:
    found: dict[type, Any] = dict(native.WRITE)
    for row in ROWS.values():
        if isinstance(row, Row):
            found.update(row.write)
    mine = vars(only_here).values()
    for op in OPS.values():
        if op not in found:
            found[op] = ONLY_READ if op in mine else REASONS.get(op.__module__, TRAINING)
    return found


WRITE: dict[type, Any] = _writers()
