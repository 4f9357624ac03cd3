"""What the named sizes are for the arrays at hand: read off their shapes, and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy

from needle.size_terms import Dim
from needle.sizes import Size, dims_of, is_dim, size_at

from .errors import RunError

Shape = tuple[int, ...]


class Binding:
    """Shapes by name that arrays are held against: `binding(arrays)` is the value of each named dim, in their order.

    Called for every run, so what can be known before is: of each axis its number, its dim's name, or its expression.
    """

    def __init__(self, where: str, shapes: Mapping[str, Shape]) -> None:
        self.where, self.shapes = where, shapes
        self.dims: dict[str, Dim] = {}
        for shape in shapes.values():
            for size in shape:
                self.dims |= dims_of(size)
        self._axes = [(name, len(shape), axes_of(shape)) for name, shape in shapes.items()]
        plain = dict.fromkeys(n for _, _, axes in self._axes for n in axes if isinstance(n, str))
        self._in_order = list(plain) == list(self.dims)
        self._bounds = [(name, dim.low, dim.high or 2**62) for name, dim in self.dims.items()]
        self._later = [(name, i, n) for name, _, axes in self._axes for i, n in enumerate(axes) if isinstance(n, Size)]

    def __call__(self, arrays: Mapping[str, Any]) -> dict[str, int]:
        """Raises RunError, naming the input, for arrays of other names or shapes, or a dim outside its bounds."""
        if arrays.keys() != self.shapes.keys():
            raise RunError(f"[{self.where}] needs the inputs {list(self.shapes)}, got {sorted(arrays)}")
        found: dict[str, int] = {}
        for name, rank, axes in self._axes:
            array = arrays[name]
            shape = array.shape if array.__class__ is numpy.ndarray else numpy.shape(array)
            if len(shape) != rank:
                self._refuse(name, shape)
            for given, wanted in zip(shape, axes, strict=True):
                if wanted.__class__ is str:
                    if found.setdefault(wanted, given) != given:
                        self._refuse(name, shape)
                elif wanted.__class__ is int and wanted != given:
                    self._refuse(name, shape)
        for name, low, high in self._bounds:
            if not low <= found.get(name, -1) <= high:
                self._refuse(next(key for key, x in self.shapes.items() for n in x if name in dims_of(n)), None, arrays)
        for name, i, size in self._later:
            if numpy.shape(arrays[name])[i] != size_at(size, found):
                self._refuse(name, numpy.shape(arrays[name]))
        return found if self._in_order else {name: found[name] for name in self.dims}

    def _refuse(self, name: str, shape: Shape | None, arrays: Mapping[str, Any] | None = None) -> None:
        given = numpy.shape(arrays[name]) if arrays is not None else shape
        raise RunError(f"[{self.where}] input '{name}' must have shape {_text(self.shapes[name])}, got {given}")


def axes_of(shape: Shape) -> list[int | str]:
    """Of each axis its number, the name of its dim, or its expression (a Size)."""
    return [(str(n) if is_dim(n) else n) if isinstance(n, Size) else int(n) for n in shape]


def shape_at(axes: Sequence[int | str], sizes: Mapping[str, int]) -> Shape:
    """The numbers of what `axes_of` gave."""
    return tuple([
        n if n.__class__ is int else sizes[n] if n.__class__ is str else size_at(n, sizes)  # type: ignore[arg-type]
        for n in axes
    ])  # fmt: skip


def sizes_of(where: str, shapes: Mapping[str, Shape], arrays: Mapping[str, Any]) -> dict[str, int]:
    """The value of each named dim, once; see `Binding`."""
    return Binding(where, shapes)(arrays)


def _text(shape: Shape) -> str:
    """`(batch, 3), 1 <= batch`."""
    bounds = [
        f"{dim.low} <= {dim.name}" + (f" <= {dim.high}" if dim.high is not None else "")
        for dim in {name: dim for size in shape for name, dim in dims_of(size).items()}.values()
    ]
    sizes = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
    return ", ".join([f"({sizes})", *bounds])
