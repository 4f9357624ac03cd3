"""What the named sizes are for the arrays at hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy

from needle.sizes import Dim, Size, dims_of, is_dim, size_at

from .errors import RunError

Shape = tuple[int, ...]


def sizes_of(where: str, shapes: Mapping[str, Shape], arrays: Mapping[str, Any]) -> dict[str, int]:
    """The value of each named dim, in their order in `shapes`, which are those of the inputs by name.

    Raises RunError, naming the input, for arrays of other names or shapes, or where a dim is outside its bounds.
    """
    if arrays.keys() != shapes.keys():
        raise RunError(f"[{where}] needs the inputs {list(shapes)}, got {sorted(arrays)}")
    found: dict[str, int] = {}
    dims: dict[str, Dim] = {}
    for name, shape in shapes.items():
        for size, given in zip(shape, numpy.shape(arrays[name]), strict=False):
            dims |= dims_of(size)
            if isinstance(size, Size) and is_dim(size):
                found.setdefault(str(size), given)
    for name, shape in shapes.items():
        given = numpy.shape(arrays[name])
        open_ = [dim for size in shape for dim in dims_of(size).values()]
        fits = len(given) == len(shape) and all(
            dim.name in found and dim.low <= found[dim.name] <= (dim.high or found[dim.name]) for dim in open_
        )
        if not fits or given != tuple(size_at(size, found) for size in shape):
            raise RunError(f"[{where}] input '{name}' must have shape {_text(shape)}, got {given}")
    return {name: found[name] for name in dims}


def _text(shape: Shape) -> str:
    """`(batch, 3), 1 <= batch`."""
    bounds = [
        f"{dim.low} <= {dim.name}" + (f" <= {dim.high}" if dim.high is not None else "")
        for dim in {name: dim for size in shape for name, dim in dims_of(size).items()}.values()
    ]
    sizes = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
    return ", ".join([f"({sizes})", *bounds])
